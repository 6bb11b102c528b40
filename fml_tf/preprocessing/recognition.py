"""dlib's face recognition network in TensorFlow: pictures of faces → descriptors, differentiably.

Davis King's ResNet (dlib_face_recognition_resnet_model_v1, public domain), read from the package
`face_recognition_models` and rebuilt, so that a loss can ask whether a rendered face shows the
person of a photo.
"""

import functools
import pathlib
import re

import numpy as np
import tensorflow as tf

from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.preprocessing.packaged_models import RECOGNITION, packaged_model

CHIP_SIZE = 150
"""Width and height of an aligned picture, pixels."""
DESCRIPTOR_SIZE = 128
_MEAN_DESCRIPTOR = pathlib.Path(__file__).parent / "assets" / "mean_descriptor.npy"

# Residual blocks: channels, and whether the first halves the picture.
_BLOCKS = [(32, False)] * 3
for _channels, _count in ((64, 4), (128, 3), (256, 3), (256, 1)):
    _BLOCKS += [(_channels, True)] + [(_channels, False)] * (_count - 1)
_NUM_CONVOLUTIONS = 1 + 2 * len(_BLOCKS)
_MEAN_COLOUR = np.array([122.782, 117.001, 104.298], np.float32)

# dlib aligns nose, eyes and upper lip, 27-54 and 60-64 of the 68 landmarks, to these places (share
# of the width of its mean face). Ours lack the corners of the inner mouth, 60 and 64.
_PLACES = np.array(
    [
        *((0.490127, 0.203352), (0.490127, 0.307009), (0.490127, 0.409805), (0.490127, 0.515625)),
        *((0.366880, 0.587326), (0.426036, 0.609345), (0.490127, 0.628106), (0.554217, 0.609345)),
        *((0.613373, 0.587326), (0.121737, 0.216423), (0.187122, 0.178758), (0.265825, 0.179852)),
        *((0.334606, 0.231733), (0.260918, 0.245099), (0.182743, 0.244077), (0.645647, 0.231733)),
        *((0.714428, 0.179852), (0.793132, 0.178758), (0.858516, 0.216423), (0.797510, 0.244077)),
        *((0.719335, 0.245099), (0.254149, 0.780233), (0.340985, 0.745405), (0.428858, 0.727388)),
        *((0.490127, 0.742578), (0.551395, 0.727388), (0.639268, 0.745405), (0.726104, 0.780233)),
        *((0.428096, 0.778746), (0.490127, 0.785343), (0.552157, 0.778746)),
    ]
)
_ALIGNED = np.flatnonzero(np.isin(FROM_68, [*range(27, 55), 61, 62, 63]))
_PADDING = 0.25
_CHIP_PLACES = CHIP_SIZE * (_PADDING + _PLACES) / (1 + 2 * _PADDING)


class RecognitionNetwork:
    """Aligned pictures → descriptors; its weights are constants.

    Args:
      path: dlib's file; the one of the package, if not given.

    Raises:
      FileNotFoundError: no such file, or the package is not installed.
      ValueError: another network's file, or a damaged one.
    """

    def __init__(self, path: pathlib.Path | None = None):
        path = path or packaged_model(RECOGNITION)
        layers = _read_layers(path)
        kinds = [kind for kind, _ in layers]
        if kinds != ["con", "affine"] * _NUM_CONVOLUTIONS + ["fc"]:
            raise ValueError(f"{path}: not dlib's face recognition network, or damaged")
        arrays = [array for _, array in layers]
        with tf.init_scope():
            self._convolutions, channels, size = [], 3, 7
            outputs = [32] + [count for count, _ in _BLOCKS for _ in range(2)]
            for count, values, affine in zip(outputs, arrays[:-1:2], arrays[1::2]):
                if len(values) != count * (channels * size**2 + 1) or len(affine) != 2 * count:
                    raise ValueError(f"{path}: not dlib's face recognition network, or damaged")
                kernel = values[:-count].reshape(count, channels, size, size)
                gain, offset = np.split(affine, 2)
                # The affine layer goes into the convolution.
                kernel = kernel.transpose(2, 3, 1, 0) * gain
                bias = values[-count:] * gain + offset
                self._convolutions.append((tf.constant(kernel), tf.constant(bias)))
                channels, size = count, 3
            if len(arrays[-1]) != channels * DESCRIPTOR_SIZE:
                raise ValueError(f"{path}: not dlib's face recognition network, or damaged")
            self._last = tf.constant(arrays[-1].reshape(channels, DESCRIPTOR_SIZE))

    def __call__(self, chips) -> tf.Tensor:
        """Descriptors [N, 128] of aligned pictures [N, 150, 150, 3], sRGB in [0, 1]."""
        convolutions = iter(self._convolutions)

        def convolve(values, strides=1, padding="SAME"):
            kernel, bias = next(convolutions)
            return tf.nn.conv2d(values, kernel, strides, padding) + bias

        features = (255.0 * chips - _MEAN_COLOUR) / 256.0
        features = tf.nn.relu(convolve(features, 2, "VALID"))
        features = tf.nn.max_pool2d(features, 3, 2, "VALID")
        for channels, halves in _BLOCKS:
            shortcut = features
            if halves:
                shortcut = tf.nn.avg_pool2d(shortcut, 2, 2, "VALID")
                features = tf.nn.relu(convolve(features, 2, "VALID"))
            else:
                features = tf.nn.relu(convolve(features))
            features = convolve(features)
            # dlib adds what lies over each other; sizes differ where a picture is halved.
            size = max(features.shape[1], shortcut.shape[1])
            features = _grow(features, size, channels) + _grow(shortcut, size, channels)
            features = tf.nn.relu(features)
        return tf.matmul(tf.reduce_mean(features, axis=(1, 2)), self._last)


def align(pictures, landmarks) -> tf.Tensor:
    """Cuts faces out as the network wants them, by the similarity that fits the landmarks best.

    Args:
      pictures: [N, H, W, 3].
      landmarks: [N, 66, 2] pixels; no gradient flows to them.

    Returns:
      [N, 150, 150, 3], differentiable in the pictures, black beyond them.
    """
    points = tf.stop_gradient(tf.gather(landmarks, _ALIGNED, axis=1))
    places = tf.constant(_CHIP_PLACES, tf.float32)
    middle, centre = tf.reduce_mean(points, axis=1), tf.reduce_mean(places, axis=0)
    points, places = points - middle[:, None], places - centre
    # Turn and scale from the chip to the picture, as a complex number.
    squared = tf.reduce_sum(tf.square(places))
    real = tf.reduce_sum(points * places, axis=(1, 2)) / squared
    x, y = places[:, 0], places[:, 1]
    imaginary = tf.reduce_sum(points[..., 1] * x - points[..., 0] * y, axis=1) / squared
    # Of pixel indices, whose centres are whole numbers.
    shift_u = middle[:, 0] - real * (centre[0] - 0.5) + imaginary * (centre[1] - 0.5) - 0.5
    shift_v = middle[:, 1] - imaginary * (centre[0] - 0.5) - real * (centre[1] - 0.5) - 0.5
    zero = tf.zeros_like(real)
    transforms = tf.stack([real, -imaginary, shift_u, imaginary, real, shift_v, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=transforms,
        output_shape=[CHIP_SIZE, CHIP_SIZE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def centred_cosine(descriptors, others) -> tf.Tensor:
    """Cosine [N] of the angle between descriptors [N, 128] about the mean one.

    Uncentred, those of all people lie within a few degrees.
    """
    mean = tf.constant(mean_descriptor())
    descriptors, others = (
        tf.math.l2_normalize(values - mean, axis=1) for values in (descriptors, others)
    )
    return tf.reduce_sum(descriptors * others, axis=1)


@functools.cache
def mean_descriptor() -> np.ndarray:
    """[128] float32, the mean over rendered people (`tools/assets/mean_descriptor.py`)."""
    return np.load(_MEAN_DESCRIPTOR)


def _grow(values, size: int, channels: int):
    """Zeros to the right, below and in channels."""
    missing = size - values.shape[1]
    return tf.pad(values, [[0, 0], [0, missing], [0, missing], [0, channels - values.shape[3]]])


def _read_layers(path: pathlib.Path) -> list[tuple[str, np.ndarray]]:
    """The layers with weights, in the file's order: from the picture to the descriptor."""
    data = path.read_bytes()
    layers = []
    for found in re.finditer(rb"(con|affine|fc)_\d?", data):
        kind, position = found.group(1).decode(), found.end()
        try:
            if kind == "fc":  # numbers of outputs and inputs
                for _ in range(2):
                    _, position = _read_integer(data, position)
            version, position = _read_integer(data, position)
            shape = []
            for _ in range(4):
                size, position = _read_integer(data, position)
                shape.append(size)
            array = np.frombuffer(data, "<f4", int(np.prod(shape)), position)
        except (IndexError, ValueError):
            raise ValueError(f"{path}: cut short, or damaged") from None
        if version != 2 or not np.isfinite(array).all():
            raise ValueError(f"{path}: not dlib's face recognition network, or damaged")
        layers.append((kind, array))
    return layers


def _read_integer(data: bytes, position: int) -> tuple[int, int]:
    """An integer as dlib writes it, sign and length before its bytes, and where it ends."""
    sign = -1 if data[position] & 0x80 else 1
    end = position + 1 + (data[position] & 0x0F)
    return sign * int.from_bytes(data[position + 1 : end], "little"), end
