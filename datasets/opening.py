"""Opens a data set by the name that `--data` gives, preparing it first when it is missing."""

import tensorflow_datasets as tfds

from datasets import synthetic_faces, video_faces
from fml_tf.config import TrainConfig
from fml_tf.preprocessing.clip import ClipSettings

# Frames looked at for each multi-frame image: enough to choose poses that differ.
_CANDIDATES_PER_IMAGE = 8


def open_dataset(config: TrainConfig) -> tfds.core.DatasetBuilder:
    """The prepared data set of a training run.

    Raises:
      ValueError: no data set of that name, or no folder of videos where one is needed, or nothing
        usable in it.
    """
    name, _, variant = config.data.partition("/")
    if name == "synthetic_faces":
        return synthetic_faces.build(config.data_dir, variant or "quickstart")
    if name == "video_faces":
        if not config.video_dir:
            raise ValueError("--data=video_faces needs --video_dir, a folder of videos")
        clip = ClipSettings(
            num_frames=config.num_frames,
            images_per_clip=config.images_per_clip,
            candidates_per_image=_CANDIDATES_PER_IMAGE,
        )
        return video_faces.build(config.video_dir, config.data_dir, clip)
    raise ValueError(
        f"--data={config.data}: no such data set; choose synthetic_faces/CONFIG or video_faces"
    )
