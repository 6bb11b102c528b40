"""Reconstructs a person's face in 3D from photos or a video, with a model that train.py trained.

Examples:

  python reconstruct.py --checkpoint=runs/small --input=portrait.jpg --output_dir=portrait
  python reconstruct.py --checkpoint=runs/small --input=photos_of_one_person/ --output_dir=person
  python reconstruct.py --checkpoint=runs/small --input=clip.mp4 --output_dir=clip
  python reconstruct.py --checkpoint=runs/small --input=me.jpg --output_dir=me --drive=other.mp4

Writes meshes (OBJ, glTF with blendshapes), a page that shows the head in 3D, landmarks, parameters
and pictures, and for a video the face laid over every frame; docs/reconstruction.md describes the
files. If the input cannot be used it says why in one line, exits with code 2 and writes nothing.
"""

import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging

from fml_tf.files.names import printable
from fml_tf.models.saving import load_model
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, prepare_image
from fml_tf.reconstruction.edits import drive, relight
from fml_tf.reconstruction.inputs import (
    choose_identity_frames,
    cut_frames,
    is_video,
    prepare_photos,
    scan_video,
)
from fml_tf.reconstruction.output import (
    check_output_directory,
    output_directory,
    write_reconstruction,
    write_relit,
)
from fml_tf.reconstruction.reconstruction import reconstruct_frames
from fml_tf.reconstruction.video import write_driven_video, write_overlay_video


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    optional = functools.partial(flags.DEFINE_string, flag_values=flag_values)
    text = functools.partial(optional, required=True)
    number = functools.partial(flags.DEFINE_integer, flag_values=flag_values)
    text("checkpoint", None, "Folder of a trained model: the --output_dir of train.py.")
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
        "Use at most the first so many frames of a video, or photos of a folder; 0 uses all.",
        lower_bound=0,
    )
    number(
        "min_face_size",
        100,
        "Least width of a face's crop (the face and some margin) in the image, pixels.",
        lower_bound=1,
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
    check_output_directory(options.output_dir, options.overwrite)
    if not os.path.exists(options.input):
        raise FileNotFoundError(f"{options.input}: no such file or folder")
    for flag in ("drive", "light"):
        path = options[flag].value
        if path is not None and not os.path.exists(path):
            raise FileNotFoundError(f"--{flag}={path}: no such file")
    model = load_model(options.checkpoint)
    prepare = functools.partial(
        prepare_image,
        detector=DlibLandmarkDetector(),
        template_landmarks=model.template.mean_shape[model.template.landmark_vertices],
        settings=CropSettings.of_model(model.config, options.min_face_size, options.min_confidence),
    )
    scan = None
    if is_video(options.input):
        scan = scan_video(options.input, prepare, options.max_frames)
        frames = cut_frames(scan, choose_identity_frames(scan, options.num_frames))
    else:
        frames = prepare_photos(options.input, prepare, options.max_frames)
    reconstruction = reconstruct_frames(model, frames)
    driver = light = None
    if options.light is not None:
        light = reconstruct_frames(model, prepare_photos(options.light, prepare, 1))
    if options.drive is not None:
        if not is_video(options.drive):
            raise ValueError(f"--drive={options.drive}: not a video")
        driver = scan_video(options.drive, prepare, options.max_frames)
        driver_crops = cut_frames(driver, choose_identity_frames(driver, options.num_frames)).crops
    with output_directory(options.output_dir, options.overwrite) as directory:
        write_reconstruction(directory, reconstruction, model)
        if scan is not None:
            write_overlay_video(directory / "overlay.mp4", model, scan, frames.crops)
        person = reconstruction.parameters
        if light is not None:
            write_relit(directory / "relit.png", reconstruction, model, light)
            person = relight(person, light.parameters.illumination[:, :1])
        if driver is not None:
            edit = functools.partial(drive, person)
            write_driven_video(directory / "driven.mp4", model, edit, driver, driver_crops)
    print(f"Wrote the face of {len(frames.names)} frame(s) to {printable(options.output_dir)}")


def main(argv, options: flags.FlagValues = flags.FLAGS) -> None:
    """Reconstructs; tells an input that cannot be used by one line (more with --verbosity=1)."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1]!r}; several photos are given as a folder")
    try:
        reconstruct(options)
    except (OSError, ValueError) as error:
        logging.debug("where it failed:", exc_info=True)
        print(f"reconstruct.py: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
