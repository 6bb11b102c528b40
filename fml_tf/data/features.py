"""The features that all data sets of multi-frame images share."""

import numpy as np
import tensorflow_datasets as tfds

from fml_tf.structures import NUM_LANDMARKS


def values(*shape: int, dtype: type = np.float32) -> tfds.features.Tensor:
    """An array of numbers."""
    return tfds.features.Tensor(shape=shape, dtype=dtype)


def multi_frame_features(num_frames: int, crop_size: int) -> dict:
    """What every example has, by name.

    `frames` are JPEG crops [M, S, S, 3]; `landmarks` [M, 66, 2] crop px with `landmark_confidence`
    [M, 66]; `crop_transform` [M, 2, 3], the affine maps from source to crop px; `person_id`. Where
    a data set has `rotation` [M, 3], it is the head's, as a rotation vector in the crop's own
    camera (`docs/conventions.md`).
    """
    image = tfds.features.Image(shape=(crop_size, crop_size, 3), encoding_format="jpeg")
    return {
        "frames": tfds.features.Sequence(image, length=num_frames),
        "landmarks": values(num_frames, NUM_LANDMARKS, 2),
        "landmark_confidence": values(num_frames, NUM_LANDMARKS),
        "crop_transform": values(num_frames, 2, 3),
        "person_id": tfds.features.Text(),
    }
