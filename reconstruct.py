"""Reconstructs a person's face in 3D from photos or a video, with a model that train.py trained.

Examples:

  python reconstruct.py --checkpoint=runs/small --input=portrait.jpg --output_dir=portrait
  python reconstruct.py --checkpoint=runs/small --input=photos_of_one_person/ --output_dir=person
  python reconstruct.py --checkpoint=runs/small --input=clip.mp4 --output_dir=clip

Writes meshes (OBJ, glTF with blendshapes), landmarks, parameters and pictures, and for a video the
face laid over every frame; docs/reconstruction.md describes the files. If the input cannot be used
it says why in one line, exits with code 2 and writes nothing.
"""

import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

from fml_tf.model.fml_model import load_model
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, prepare_image
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
)
from fml_tf.reconstruction.reconstruction import reconstruct_frames
from fml_tf.reconstruction.video import write_overlay_video

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of a trained model: the --output_dir of train.py.", required=True
)
_INPUT = flags.DEFINE_string(
    "input", None, "Photo, folder of photos of one person, or video of one person.", required=True
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace the files of an earlier run in --output_dir."
)
_NUM_FRAMES = flags.DEFINE_integer(
    "num_frames",
    8,
    "Frames of a video, chosen for diverse head poses, that the identity is made from.",
    lower_bound=1,
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames", 0, "Use at most so many frames of a video or photos of a folder; 0: all.", 0
)
_MIN_FACE_SIZE = flags.DEFINE_integer(
    "min_face_size",
    100,
    "Least width of a face's crop (face and some margin) in the image, pixels.",
    lower_bound=1,
)
_MIN_CONFIDENCE = flags.DEFINE_float(
    "min_confidence",
    CropSettings.min_confidence,
    "Least mean confidence of a face's landmarks; lower to take more doubtful faces.",
    lower_bound=0.0,
    upper_bound=1.0,
)


def reconstruct() -> None:
    """Reads what the flags name and writes the reconstruction.

    Raises:
      FileNotFoundError, ValueError: an input, checkpoint or output folder that cannot be used.
    """
    check_output_directory(_OUTPUT_DIR.value, _OVERWRITE.value)
    if not os.path.exists(_INPUT.value):
        raise FileNotFoundError(f"{_INPUT.value}: no such file or folder")
    model = load_model(_CHECKPOINT.value)
    prepare = functools.partial(
        prepare_image,
        detector=DlibLandmarkDetector(),
        template_landmarks=model.template.mean_shape[model.template.landmark_vertices],
        settings=CropSettings(
            size=model.config.crop_size,
            min_width=_MIN_FACE_SIZE.value,
            min_confidence=_MIN_CONFIDENCE.value,
            focal_length=model.config.focal_length,
        ),
    )
    scan = None
    if is_video(_INPUT.value):
        scan = scan_video(_INPUT.value, prepare, _MAX_FRAMES.value)
        frames = cut_frames(scan, choose_identity_frames(scan, _NUM_FRAMES.value))
    else:
        frames = prepare_photos(_INPUT.value, prepare, _MAX_FRAMES.value)
    reconstruction = reconstruct_frames(model, frames)
    with output_directory(_OUTPUT_DIR.value, _OVERWRITE.value) as directory:
        write_reconstruction(directory, reconstruction, model)
        if scan is not None:
            write_overlay_video(directory / "overlay.mp4", model, scan, frames.crops)
    print(f"Wrote the face of {len(frames.names)} frame(s) to {_OUTPUT_DIR.value}")


def main(_) -> None:
    """Reconstructs; tells an input that cannot be used by one line and exit code 2."""
    try:
        reconstruct()
    except (FileNotFoundError, ValueError) as error:
        print(f"reconstruct.py: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    app.run(main)
