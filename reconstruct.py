"""Reconstructs a person's face in 3D from photos or a video, with a trained model.

Examples:

  python reconstruct.py --input=portrait.jpg --output_dir=portrait
  python reconstruct.py --input=photos_of_one_person/ --output_dir=person
  python reconstruct.py --input=clip.mp4 --output_dir=clip --checkpoint=runs/small
  python reconstruct.py --input=me.jpg --output_dir=me --drive=other.mp4

Writes meshes (OBJ, glTF with blendshapes), a page that shows the head in 3D, landmarks, parameters
and pictures, and for a video the face laid over every frame; docs/reconstruction.md describes the
files. If the input cannot be used it says why in one line, exits with code 2 and writes nothing.
"""

import functools
import os

from fml_tf import quiet  # noqa: F401  # isort: skip

from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.config import RENDERING_BACKENDS
from fml_tf.files.folders import check_output_directory, output_directory
from fml_tf.files.names import printable
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.preprocessing.landmark_detectors import LANDMARK_DETECTORS, make_landmark_detector
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.reconstruction.edits import drive, relight
from fml_tf.reconstruction.inputs import is_video
from fml_tf.reconstruction.output import (
    OUTPUT_FILES,
    check_apart,
    write_reconstruction,
    write_relit,
)
from fml_tf.reconstruction.reconstruction import REFINEMENTS, Follower, make_refiner
from fml_tf.reconstruction.reconstruction import reconstruct as reconstruct_person
from fml_tf.reconstruction.video import write_driven_video, write_overlay_video


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    optional = functools.partial(flags.DEFINE_string, flag_values=flag_values)
    text = functools.partial(optional, required=True)
    number = functools.partial(flags.DEFINE_integer, flag_values=flag_values)
    optional("checkpoint", None, CHECKPOINT_HELP)
    text("input", None, "A photo, a folder of photos of one person, or a video of one person.")
    text("output_dir", None, "Folder to write to.")
    optional("drive", None, "A video whose expressions and head poses the person is to take on.")
    optional("light", None, "A photo of a face whose light is to fall on the person.")
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Replace the files of an earlier run in --output_dir.",
        flag_values=flag_values,
    )
    number(
        "num_frames",
        8,
        "Frames of a video, chosen for diverse head poses, that the identity is made from.",
        lower_bound=1,
    )
    number(
        "max_frames",
        0,
        "Use at most this many frames of a video or photos of a folder, the first; 0 uses all.",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "rendering_backend",
        "fast",
        RENDERING_BACKENDS,
        "What projects, lights and draws: 'fast', or 'tfg', tensorflow-graphics.",
        flag_values=flag_values,
    )
    number(
        "min_face_size",
        100,
        "Least width of a face's crop (the face and some margin) in the image, pixels.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "landmark_detector",
        "auto",
        LANDMARK_DETECTORS,
        "What finds faces and landmarks; auto is mediapipe where LiteRT is installed, else dlib.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "refine",
        None,
        REFINEMENTS,
        "Move the network's answer so that it fits these pictures: by landmarks, or by landmarks "
        "and colours (photometric). photometric, unless the model was trained without known truth: "
        "then none.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "min_confidence",
        CropSettings.min_confidence,
        "Least mean confidence of a face's landmarks; lower it to take more doubtful faces.",
        lower_bound=0.0,
        upper_bound=1.0,
        flag_values=flag_values,
    )


def reconstruct(options: flags.FlagValues) -> None:
    """Reads what the flags name and writes the reconstruction.

    Raises:
      FileNotFoundError, ValueError: an input, checkpoint or output folder that cannot be used.
    """
    check_output_directory(options.output_dir, OUTPUT_FILES, options.overwrite)
    if not os.path.exists(options.input):
        raise FileNotFoundError(f"{options.input}: no such file or folder")
    check_apart(options.input, options.output_dir)
    for flag in ("drive", "light"):
        path = options[flag].value
        if path is not None:
            if not os.path.exists(path):
                raise FileNotFoundError(f"--{flag}={path}: no such file")
            check_apart(path, options.output_dir)
    if options.drive is not None and not is_video(options.drive):
        raise ValueError(f"--drive={options.drive}: not a video")
    model = load_model(options.checkpoint, options.rendering_backend)
    read = functools.partial(
        reconstruct_person,
        model=model,
        num_frames=options.num_frames,
        max_frames=options.max_frames,
        min_face_size=options.min_face_size,
        min_confidence=options.min_confidence,
        detector=make_landmark_detector(options.landmark_detector),
        refine=options.refine,
    )
    refiner = make_refiner(model, options.refine)
    face = read(options.input)
    light = read(options.light) if options.light is not None else None
    driver = read(options.drive) if options.drive is not None else None
    with output_directory(options.output_dir, OUTPUT_FILES, options.overwrite) as directory:
        write_reconstruction(directory, face, model)
        if face.scan is not None:
            follower = Follower(model, face, refiner)
            write_overlay_video(directory / "overlay.mp4", model, face.scan, follower)
        person = face.parameters
        if light is not None:
            write_relit(directory / "relit.png", face, model, light)
            person = relight(person, light.parameters.illumination[:, :1])
        if driver is not None:
            path, edit = directory / "driven.mp4", functools.partial(drive, person)
            write_driven_video(path, model, edit, driver.scan, Follower(model, driver, refiner))
    print(f"Wrote the face of {len(face.frames.names)} frame(s) to {printable(options.output_dir)}")


def main(argv, options: flags.FlagValues = flags.FLAGS) -> None:
    """Reconstructs; one line says what cannot be used (more with --verbosity=1)."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1]!r}; several photos are given as a folder")
    with one_line_errors("reconstruct.py"):
        reconstruct(options)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
