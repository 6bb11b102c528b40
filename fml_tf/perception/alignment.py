"""Cuts the pictures that dlib's face recognition network looks at out of crops."""

import numpy as np
import tensorflow as tf

CHIP_SIZE = 150
"""Sides of a chip, the aligned picture of a face, px."""
_PADDING = 0.25  # on each side, a share of the square about dlib's mean face
# dlib aligns by bridge and base of the nose, eyes, upper lip and inner upper mouth: 27-54 and 60-64
# of the 68. Of our 66, which lack the inner corners of the mouth:
_USED = np.r_[27:55, 60:63]
# Where these lie on dlib's mean face, in shares of its square; measured by what
# `dlib.get_face_chip_details` answers when one landmark after the other moves.
# fmt: off
_MEAN_FACE = np.array([
    (0.49013, 0.20335), (0.49013, 0.30701), (0.49013, 0.40981), (0.49013, 0.51563),
    (0.36688, 0.58733), (0.42604, 0.60934), (0.49013, 0.62811), (0.55422, 0.60934),
    (0.61337, 0.58733),
    (0.12174, 0.21642), (0.18712, 0.17876), (0.26582, 0.17985), (0.33461, 0.23173),
    (0.26092, 0.24510), (0.18274, 0.24408),
    (0.64565, 0.23173), (0.71443, 0.17985), (0.79313, 0.17876), (0.85852, 0.21642),
    (0.79751, 0.24408), (0.71934, 0.24510),
    (0.25415, 0.78023), (0.34099, 0.74540), (0.42886, 0.72739), (0.49013, 0.74258),
    (0.55140, 0.72739), (0.63927, 0.74540), (0.72610, 0.78023),
    (0.42810, 0.77875), (0.49013, 0.78534), (0.55216, 0.77875),
])
# fmt: on
_TARGETS = CHIP_SIZE * (_MEAN_FACE + _PADDING) / (1 + 2 * _PADDING)  # chip px


def chip_to_crop(landmarks):
    """The similarity from a chip to each crop that brings the mean face nearest to the landmarks.

    Least squares in the crop; the landmarks count the same. No gradient.

    Args:
      landmarks: [N, 66, 2] crop pixels.

    Returns:
      [N, 2, 3]: crop = matrix @ (u, v, 1) of the chip, both in pixels from the outer corner.
    """
    points = tf.gather(tf.stop_gradient(landmarks), _USED, axis=1)
    middle = _TARGETS.mean(axis=0)
    along = np.float32((_TARGETS - middle) / np.square(_TARGETS - middle).sum())
    across = along[:, ::-1] * np.float32((-1, 1))  # turned by a quarter
    # x' = cosine·x − sine·y and y' = sine·x + cosine·y, with the scale in both.
    cosine, sine = (tf.reduce_sum(points * basis, axis=(1, 2)) for basis in (along, across))
    linear = tf.stack([tf.stack([cosine, -sine], axis=1), tf.stack([sine, cosine], axis=1)], axis=1)
    offset = tf.reduce_mean(points, axis=1) - tf.linalg.matvec(linear, np.float32(middle))
    return tf.concat([linear, offset[..., None]], axis=2)


def cut_chips(crops, landmarks):
    """Resamples the chip of each crop bilinearly, as `dlib.get_face_chip` does.

    Nothing is smoothed: a chip's pixel should not be much larger than a crop's. What lies beyond
    the outermost pixel centres is black. The gradient flows to the crops, exactly (that of
    TensorFlow's `ImageProjectiveTransformV3` resamples the gradient by the inverse map instead,
    which is another one wherever the scale is not 1).

    Args:
      crops: [N, H, W, 3], sizes from 2 up.
      landmarks: [N, 66, 2] crop pixels.

    Returns:
      [N, 150, 150, 3] in the crops' colours.
    """
    num_crops, height, width = tf.unstack(tf.shape(crops)[:3])
    grid = np.float32(np.indices((CHIP_SIZE, CHIP_SIZE))[::-1].reshape(2, -1) + 0.5)
    matrix = chip_to_crop(landmarks)
    positions = matrix[:, :, :2] @ grid + matrix[:, :, 2:] - 0.5  # [N, 2, P], pixels by index
    last = tf.stack([width - 1, height - 1])[:, None]
    inside = (positions >= 0) & (positions <= tf.cast(last, tf.float32))
    inside = tf.cast(tf.reduce_all(inside, axis=1), tf.float32)[..., None]
    cell = tf.clip_by_value(tf.cast(tf.floor(positions), tf.int32), 0, last - 1)
    offset = inside[:, None, :, 0] * (positions - tf.cast(cell, tf.float32))
    right, down = offset[:, 0, :, None], offset[:, 1, :, None]

    pixels = tf.reshape(crops, (-1, 3))
    top_left = (tf.range(num_crops)[:, None] * height + cell[:, 1]) * width + cell[:, 0]
    top = (1 - right) * tf.gather(pixels, top_left) + right * tf.gather(pixels, top_left + 1)
    bottom = (1 - right) * tf.gather(pixels, top_left + width) + right * tf.gather(
        pixels, top_left + width + 1
    )
    chips = inside * ((1 - down) * top + down * bottom)
    return tf.reshape(chips, (-1, CHIP_SIZE, CHIP_SIZE, 3))
