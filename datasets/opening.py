"""Opens a data set by the name that `--data` gives, preparing first what takes only minutes."""

import os
import pathlib

import tensorflow_datasets as tfds

from datasets import synthetic_faces, video_faces
from datasets.voxceleb2_frames import voxceleb2_frames_dataset_builder
from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.geometry.crop import DEFAULT_MARGIN
from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.prepare import CropSettings


def open_dataset(config: TrainConfig, model_config: ModelConfig) -> tfds.core.DatasetBuilder:
    """The prepared data set of a training run, with crops of the model's size.

    Raises:
      ValueError: no data set of that name, or no folder of videos where one is needed, or nothing
        usable in it, or crops of another size than the model's.
    """
    name, _, variant = config.data.partition("/")
    if name == "synthetic_faces":
        crop = (model_config.crop_size, model_config.crop_margin)
        if crop != (synthetic_faces.CROP_SIZE, DEFAULT_MARGIN):
            raise ValueError(
                f"--data={config.data} needs --crop_size={synthetic_faces.CROP_SIZE} "
                f"--crop_margin={DEFAULT_MARGIN}"
            )
        builder = synthetic_faces.build(config.data_dir, variant or "quickstart")
        num_frames = builder.info.features["frames"].shape[0]
        if config.num_frames > num_frames:
            raise ValueError(f"--num_frames={config.num_frames}: {config.data} has {num_frames}")
        return builder
    if name == "video_faces":
        if not config.video_dir:
            raise ValueError("--data=video_faces needs --video_dir, a folder of videos")
        clip = ClipSettings(
            num_frames=config.num_frames,
            images_per_clip=config.images_per_clip,
            candidates_per_image=config.candidates_per_image,
            min_pose_distance=config.min_pose_distance,
            crop=CropSettings.of_model(model_config, config.min_face_size, config.min_confidence),
        )
        return video_faces.build(config.video_dir, config.data_dir, clip, workers=os.cpu_count())
    if name == "voxceleb2_frames":
        return _open_voxceleb2_frames(config, model_config, variant or "paper")
    raise ValueError(
        f"--data={config.data}: no such data set; choose synthetic_faces/CONFIG, video_faces or"
        " voxceleb2_frames/CONFIG"
    )


def _open_voxceleb2_frames(
    config: TrainConfig, model_config: ModelConfig, variant: str
) -> tfds.core.DatasetBuilder:
    """Opens what `python -m datasets.voxceleb2_frames` made: too long a work for a training run."""
    version = str(voxceleb2_frames_dataset_builder.Builder.VERSION)
    folder = pathlib.Path(config.data_dir, "voxceleb2_frames", variant, version)
    if not (folder / "dataset_info.json").is_file():
        raise ValueError(
            f"--data={config.data}: not in --data_dir={config.data_dir}; make it by `python -m"
            f" datasets.voxceleb2_frames --manual_dir=VOXCELEB2 --data_dir={config.data_dir}"
            f" --name={variant}`"
        )
    builder = tfds.builder_from_directory(folder)
    num_frames, size, _, _ = builder.info.features["frames"].shape
    margin = builder.info.metadata["clip"]["crop"]["margin"]
    if (model_config.crop_size, model_config.crop_margin) != (size, margin):
        raise ValueError(f"--data={config.data} needs --crop_size={size} --crop_margin={margin}")
    if config.num_frames > num_frames:
        raise ValueError(f"--num_frames={config.num_frames}: {config.data} has {num_frames}")
    return builder
