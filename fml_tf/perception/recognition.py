"""dlib's face recognition network in TensorFlow: descriptors that tell people apart.

A residual network with 29 convolutions by Davis King, trained on about three million photos of
7,485 people (https://github.com/davisking/dlib-models). Its weights are in the public domain, and
in the wheel `face_recognition_models` under CC0. It stands in for the network that Deep3D was
trained with, which cannot be had.
"""

import pathlib

import numpy as np
import tensorflow as tf

from fml_tf.files.dlib_models import packaged_dlib_model
from fml_tf.perception.alignment import cut_chips
from fml_tf.perception.dlib_weights import read_dlib_weights

DESCRIPTOR_SIZE = 128
ASSET = pathlib.Path(__file__).parent / "assets" / "mean_descriptor.npz"
_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
# In [0, 255].
_MEAN_COLOUR = np.float32([122.782, 117.001, 104.298])
_COLOUR_SCALE = 256.0
# Residual blocks of each stage. The first block of all stages but the first halves the picture.
_BLOCKS = 3, 4, 3, 3, 1


class FaceRecognition:
    """The network, with constant weights. Differentiable in the pictures.

    Raises:
      FileNotFoundError: the wheel `face_recognition_models` is not installed.
      ValueError: its file is damaged.
    """

    def __init__(self):
        weights = read_dlib_weights(packaged_dlib_model(_MODEL))
        with tf.init_scope():
            self._convolutions = [
                (tf.constant(kernel), tf.constant(bias)) for kernel, bias in weights.convolutions
            ]
            self._projection = tf.constant(weights.projection)

    def describe(self, crops, landmarks):
        """The descriptors of the faces at the landmarks.

        Args:
          crops: [N, H, W, 3] sRGB in [0, 1].
          landmarks: [N, 66, 2] crop pixels; no gradient flows to them.

        Returns:
          [N, 128].
        """
        return self(cut_chips(crops, landmarks))

    def __call__(self, chips):
        """The same of faces that are aligned.

        Args:
          chips: [N, 150, 150, 3] sRGB in [0, 1], see `cut_chips`.

        Returns:
          [N, 128], equal to those of dlib's `compute_face_descriptor` up to rounding.
        """
        layers = iter(self._convolutions)
        values = (255.0 * chips - _MEAN_COLOUR) / _COLOUR_SCALE
        values = tf.nn.relu(_convolve(values, next(layers), 2, "VALID"))
        values = tf.nn.max_pool2d(values, 3, 2, "VALID")
        for stage, blocks in enumerate(_BLOCKS):
            for block in range(blocks):
                halved = stage > 0 and block == 0
                stride, padding = (2, "VALID") if halved else (1, "SAME")
                change = tf.nn.relu(_convolve(values, next(layers), stride, padding))
                change = _convolve(change, next(layers), 1, "SAME")
                if halved:
                    values = tf.nn.avg_pool2d(values, 2, 2, "VALID")
                values = tf.nn.relu(_add(change, values))
        return tf.reduce_mean(values, axis=(1, 2)) @ self._projection


def _convolve(values, layer, stride: int, padding: str):
    kernel, bias = layer
    return tf.nn.conv2d(values, kernel, stride, padding) + bias


def _add(first, second):
    """The sum [N, H, W, C] of two stacks that may differ in size.

    As in dlib's `add_prev`, the smaller has zeros to its right, at its bottom and as last channels.
    """
    sizes = np.array([first.shape[1:], second.shape[1:]])
    missing = sizes.max(axis=0) - sizes
    first, second = (
        tf.pad(values, [(0, 0), *((0, size) for size in sizes)])
        for values, sizes in zip((first, second), missing.tolist())
    )
    return first + second


def mean_descriptor() -> np.ndarray:
    """The mean descriptor [128] float32 of rendered people (`tools/assets/mean_descriptor.py`)."""
    with np.load(ASSET) as archive:
        return archive["mean"]


def centred_cosine(first, second, mean):
    """The cosine of the angle between descriptors as seen from their mean.

    All faces' descriptors point almost the same way. Their angle about the origin says little; what
    tells people apart is how they differ from the mean (ours; measured by
    `tools/measuring/recognition.py`).

    Args:
      first, second: [..., 128] descriptors.
      mean: [128], see `mean_descriptor`.

    Returns:
      [...] in [-1, 1].
    """
    first, second = (tf.math.l2_normalize(values - mean, axis=-1) for values in (first, second))
    return tf.reduce_sum(first * second, axis=-1)
