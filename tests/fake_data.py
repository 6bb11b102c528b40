"""A data set of a few noise images with plausible landmarks, in the place of a TFDS builder."""

import types

import numpy as np
import tensorflow as tf

from fml_tf.template.makehuman import load_makehuman

PARAMETERS = ("shape", "albedo", "rotation", "translation", "expression", "illumination")
"""Names of FML's parameters, in the order of its signatures."""


class FakeBuilder:
    """Noise frames of `size` pixels; the landmarks are those of the mean face seen from the front.

    Args:
      num_examples: in each split; all splits have the same.
      num_frames: M.
      size: of the frames, pixels.
      poison: put NaN into the landmarks.
      splits: their names.
    """

    def __init__(self, num_examples=6, num_frames=2, size=96, poison=False, splits=("train",)):
        split = types.SimpleNamespace(num_examples=num_examples)
        self.info = types.SimpleNamespace(
            splits=dict.fromkeys(splits, split), full_name="fake/1.0.0", features={}
        )
        rng = np.random.default_rng(0)
        template = load_makehuman("4k")
        points = template.mean_shape[template.landmark_vertices, :2] * (1, -1)
        points = size * (0.5 + 0.5 * (points - points.mean(axis=0)) / np.ptp(points))
        shape = (num_examples, num_frames, *points.shape)
        landmarks = points + rng.normal(size=shape)
        if poison:
            landmarks[:] = np.nan
        pixels = rng.integers(0, 255, (num_examples, num_frames, size, size, 3), np.uint8)
        self._examples = {
            "frames": [[tf.io.encode_jpeg(f).numpy() for f in frames] for frames in pixels],
            "landmarks": landmarks.astype(np.float32),
            "landmark_confidence": np.ones(shape[:3], np.float32),
        }

    def as_dataset(self, split, decoders, read_config):
        """The examples in order, frames encoded."""
        del split, decoders, read_config
        return tf.data.Dataset.from_tensor_slices(self._examples)
