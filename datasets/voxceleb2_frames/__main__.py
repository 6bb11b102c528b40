"""Makes the multi-frame images that FML is trained with (paper, section 3.1) from VoxCeleb2.

  python -m datasets.voxceleb2_frames --manual_dir=VOXCELEB2 --data_dir=data

1. Which clips there are: --manual_dir holds vox2_meta.csv and VoxCeleb2's archives, or what they
   unpack to. With face tracks (txt) and original videos (original/VIDEO.mp4), frames come from the
   latter, else from the distributors' small face crops (mp4).
2. Each clip: candidate frames, evenly spaced, are decoded; the face, 66 landmarks and the head's
   pose are found and the face is cropped. Small, uncertain and blurred ones are left out. Of the
   others M whose poses are far apart make an image. Apache Beam spreads the clips over this
   machine's processors, or whatever --beam_pipeline_options names.
3. TFDS writes the images of VoxCeleb2's dev people as `train`, those of its test people (and a few
   of dev) as `test`. Beside them report.json counts the clips that were skipped, by reason, and
   clips.tsv names them.

A build that was stopped resumes with the same command. The README beside this file says more.
"""

import dataclasses
import pathlib
import pkgutil
import sys

from fml_tf import quiet  # noqa: F401  # isort: skip

import tensorflow_datasets as tfds
from absl import app, flags, logging
from apache_beam.options.pipeline_options import PipelineOptions

from datasets.voxceleb2_frames.source import read_people
from datasets.voxceleb2_frames.voxceleb2_frames_dataset_builder import (
    Builder,
    VoxCeleb2FramesConfig,
)
from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.prepare import CropSettings

_PAPER = Builder.BUILDER_CONFIGS[0]

_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "VoxCeleb2's folder.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_NAME = flags.DEFINE_string(
    "name", "paper", "Name of the configuration; another one where a number below is changed."
)
_BEAM = flags.DEFINE_string(
    "beam_pipeline_options",
    "direct_running_mode=multi_processing,direct_num_workers=0",
    "Apache Beam's options without dashes; commas separate them, so none can hold a comma. By"
    " default all processors of this machine.",
)
_NUM_FRAMES = flags.DEFINE_integer(
    "num_frames", _PAPER.clip.num_frames, "M, frames of an image (paper: 4).", lower_bound=1
)
_IMAGES_PER_CLIP = flags.DEFINE_integer(
    "images_per_clip",
    _PAPER.clip.images_per_clip,
    "Most images of a clip; their frames are disjoint.",
    lower_bound=1,
)
_CANDIDATES_PER_IMAGE = flags.DEFINE_integer(
    "candidates_per_image",
    _PAPER.clip.candidates_per_image,
    "Frames, evenly spaced, that an image chooses its M from.",
    lower_bound=1,
)
_MIN_POSE_DISTANCE = flags.DEFINE_float(
    "min_pose_distance",
    _PAPER.clip.min_pose_distance,
    "Least angle between the head poses of two frames of an image, degrees.",
    lower_bound=0.0,
)
_CROP_SIZE = flags.DEFINE_integer(
    "crop_size", _PAPER.clip.crop.size, "Width of the crops, px (paper: 240).", lower_bound=64
)
_CROP_MARGIN = flags.DEFINE_float(
    "crop_margin",
    _PAPER.clip.crop.margin,
    "Width of a crop over the larger side of the landmarks' bounding box.",
    lower_bound=1.0,
)
_MIN_FACE_SIZE = flags.DEFINE_integer(
    "min_face_size",
    _PAPER.clip.crop.min_width,
    "Least width of a crop in the video, px (paper: 200).",
    lower_bound=1,
)
_MIN_CONFIDENCE = flags.DEFINE_float(
    "min_confidence",
    _PAPER.clip.crop.min_confidence,
    "Least mean confidence of a face's landmarks.",
    lower_bound=0.0,
)
_MIN_SHARPNESS = flags.DEFINE_float(
    "min_sharpness",
    _PAPER.clip.min_sharpness,
    "Least sharpness of a frame, as a share of the median of its clip's.",
    lower_bound=0.0,
)
_FOCAL_LENGTH = flags.DEFINE_float(
    "focal_length",
    _PAPER.clip.crop.focal_length,
    "Focal length of the camera that the head pose is for, crop widths.",
    lower_bound=0.01,
)
_CLIPS_PER_VIDEO = flags.DEFINE_integer(
    "clips_per_video",
    _PAPER.clips_per_video,
    "At most this many clips of each video, drawn at random; 0 takes all.",
    lower_bound=0,
)
_TEST_SHARE_OF_DEV = flags.DEFINE_float(
    "test_share_of_dev",
    _PAPER.test_share_of_dev,
    "Share of VoxCeleb2's dev people, drawn at random, who join the test people.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_SEED = flags.DEFINE_integer("seed", _PAPER.seed, "Seed of both draws.")
_DETECTOR = flags.DEFINE_string(
    "detector", _PAPER.detector, "What makes the landmark detector, as module:name."
)


def _config() -> VoxCeleb2FramesConfig:
    config = VoxCeleb2FramesConfig(
        name=_NAME.value,
        description=_PAPER.description if _NAME.value == _PAPER.name else "By flags.",
        clip=ClipSettings(
            num_frames=_NUM_FRAMES.value,
            images_per_clip=_IMAGES_PER_CLIP.value,
            candidates_per_image=_CANDIDATES_PER_IMAGE.value,
            min_pose_distance=_MIN_POSE_DISTANCE.value,
            min_sharpness=_MIN_SHARPNESS.value,
            crop=CropSettings(
                size=_CROP_SIZE.value,
                margin=_CROP_MARGIN.value,
                min_width=_MIN_FACE_SIZE.value,
                min_confidence=_MIN_CONFIDENCE.value,
                focal_length=_FOCAL_LENGTH.value,
            ),
        ),
        clips_per_video=_CLIPS_PER_VIDEO.value,
        test_share_of_dev=_TEST_SHARE_OF_DEV.value,
        seed=_SEED.value,
        detector=_DETECTOR.value,
    )
    try:
        pkgutil.resolve_name(config.detector)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--detector={config.detector}: {error}") from error
    if config.name != _PAPER.name:
        return config
    if dataclasses.asdict(config) != dataclasses.asdict(_PAPER):
        raise ValueError(f"--name: {_PAPER.name!r} is for the default numbers, choose another")
    return _PAPER


def main(argv: list[str]) -> None:
    """Reads the flags and builds."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {' '.join(argv[1:])!r}; all arguments are --flags")
    logging.set_verbosity(logging.WARNING)  # Beam and TFDS write dozens of lines below that
    options = PipelineOptions(flags=[f"--{option}" for option in _BEAM.value.split(",") if option])
    try:
        config = _config()
        read_people(pathlib.Path(_MANUAL_DIR.value))  # says what is missing before TFDS starts
        builder = Builder(data_dir=_DATA_DIR.value, config=config)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=_MANUAL_DIR.value, beam_options=options
            )
        )
    except (OSError, ValueError, RuntimeError) as error:
        logging.debug("where it failed:", exc_info=True)  # --verbosity=1
        # Beam's begin with a worker's stack.
        sys.exit(f"voxceleb2_frames: {str(error).strip().splitlines()[-1]}")
    print((builder.data_path / "report.json").read_text(), end="")
    print(f"{builder.data_path}: train with --data=voxceleb2_frames/{config.name}")


if __name__ == "__main__":
    app.run(main)
