"""Random changes of training examples: colour, place of the crop, blur, mirroring (all ours).

The paper mentions none, so all are off unless asked for.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from fml_tf.config import TrainConfig
from fml_tf.data.ground_truth import TRUTH_FEATURES, has_truth, mirror_truth
from fml_tf.geometry.landmark_order import MIRROR_66

_FRAME_TENSORS = {"frames", "frame_mask", "landmarks", "landmark_confidence"}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly examples are changed; 0 and False leave them alone.

    All frames of a person share what concerns the person: the mirror, since a mirrored face is
    another face, and the colours, since one albedo has to explain all frames. The place of the crop
    and the blur are each frame's own.

    Attributes:
      colour: largest change of exposure, contrast and saturation, and half as much of each channel
        beside the others, as a factor's logarithm.
      crop: largest shift of a crop as a share of its width, in each direction, and twice as much
        the largest change of its width.
      blur: largest standard deviation of a Gaussian blur, crop px.
      flip: mirror a person left to right or not, at random.
    """

    colour: float = 0.0
    crop: float = 0.0
    blur: float = 0.0
    flip: bool = False


def augmentation_of(config: TrainConfig) -> Augmentation:
    """What a run's flags ask for."""
    return Augmentation(
        colour=config.augment_colour,
        crop=config.augment_crop,
        blur=config.augment_blur,
        flip=config.augment_flip,
    )


def augment(example: dict, augmentation: Augmentation, key: tf.Tensor) -> dict:
    """Changes one example, as a function of its key alone.

    Args:
      example: `MultiFrameBatch`'s tensors without B: frames [M, S, S, 3] in [0, 1], frame_mask [M],
        landmarks [M, 66, 2] crop px, landmark_confidence [M, 66]; also, or not, the features that
        `ground_truth` is made of, which follow the frames.
      augmentation: what to do.
      key: [2] integers.

    Returns:
      The same tensors; frames that are masked out are black.

    Raises:
      ValueError: a tensor that augmentation does not know, or a change of colours where the true
        albedo and light are known.
    """
    unknown = example.keys() - _FRAME_TENSORS - set(TRUTH_FEATURES)
    if unknown:
        raise ValueError(f"augmentation cannot change {', '.join(unknown)}")
    with_truth = has_truth(example)
    if with_truth and augmentation.colour:
        raise ValueError("--augment_colour would change the true albedo and light; leave it at 0")
    example = dict(example)
    keys = [tf.random.fold_in(key, part) for part in range(4)]
    frames, landmarks = example["frames"], example["landmarks"]
    confidence = example["landmark_confidence"]
    if augmentation.flip:
        flip = tf.random.stateless_uniform((), keys[0]) < 0.5
        mirrored = tf.gather(_mirror(landmarks, _size(frames)), MIRROR_66, axis=1)
        # A sixth of the time of a slice with a negative stride.
        frames = tf.where(flip, tf.reverse(frames, [2]), frames)
        landmarks = tf.where(flip, mirrored, landmarks)
        confidence = tf.where(flip, tf.gather(confidence, MIRROR_66, axis=1), confidence)
        if with_truth:
            for name, mirrored_value in mirror_truth(example).items():
                example[name] = tf.where(flip, mirrored_value, example[name])
    if augmentation.crop:
        shift, scale = _draw_moves(frames, augmentation.crop, keys[1])
        frames, landmarks = _move_crops(frames, landmarks, shift, scale)
        if with_truth:
            example["crop_transform"] = _move_transform(
                example["crop_transform"], _size(frames), shift, scale
            )
    if augmentation.blur:
        frames = _blur(frames, augmentation.blur, keys[2])
    if augmentation.colour:
        frames = _change_colours(frames, augmentation.colour, keys[3])
    present = example["frame_mask"][:, None, None, None]
    return {
        **example,
        "frames": tf.where(present, frames, 0.0),
        "landmarks": landmarks,
        "landmark_confidence": confidence,
    }


def _size(frames: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(frames)[2], tf.float32)


def _mirror(positions: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.stack([width - positions[..., 0], positions[..., 1]], axis=-1)


def _draw_moves(frames: tf.Tensor, amount: float, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shift [M, 2] px and scale [M, 1]: source = centre + shift + scale · (crop − centre)."""
    draws = amount * tf.random.stateless_uniform((frames.shape[0], 3), key, -1.0, 1.0)
    return _size(frames) * draws[:, :2], tf.exp(2.0 * draws[:, 2:])


def _move_crops(
    frames: tf.Tensor, landmarks: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Shifts and scales each frame about its centre; beyond the border the border is repeated."""
    size = _size(frames)
    # In outer-corner coordinates.
    moved = (landmarks - size / 2 - shift[:, None]) / scale[:, None] + size / 2
    # TensorFlow counts pixels by their centres.
    offset = size / 2 + shift + scale * (0.5 - size / 2) - 0.5
    zero = tf.zeros(frames.shape[0])
    rows = [scale[:, 0], zero, offset[:, 0], zero, scale[:, 0], offset[:, 1], zero, zero]
    frames = tf.raw_ops.ImageProjectiveTransformV3(
        images=frames,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.shape(frames)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return frames, moved


def _move_transform(
    crop_transform: tf.Tensor, size: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor
) -> tf.Tensor:
    """Affine maps [M, 2, 3] to crops before they were moved → to the moved ones."""
    matrix = crop_transform[..., :2] / scale[..., None]
    offset = (crop_transform[..., 2] - size / 2 - shift) / scale + size / 2
    return tf.concat([matrix, offset[..., None]], axis=-1)


def _blur(frames: tf.Tensor, largest: float, key: tf.Tensor) -> tf.Tensor:
    """Blurs each frame with a Gaussian of its own."""
    count, size = frames.shape[0], tf.shape(frames)[2]
    sigma = largest * tf.random.stateless_uniform((count,), key)
    radius = int(np.ceil(3 * largest))
    steps = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-0.5 * (steps[:, None] / tf.maximum(sigma, 1e-2)) ** 2)
    weights = tf.repeat(weights / tf.reduce_sum(weights, axis=0), 3, axis=1)  # of each channel
    # All frames' channels beside each other: one convolution with a kernel for each.
    channels = tf.reshape(tf.transpose(frames, (1, 2, 0, 3)), (1, size, size, 3 * count))
    padding = [[0, 0], [radius, radius], [radius, radius], [0, 0]]
    channels = tf.pad(channels, padding, "SYMMETRIC")
    for kernel in (weights[:, None, :, None], weights[None, :, :, None]):
        channels = tf.nn.depthwise_conv2d(channels, kernel, (1, 1, 1, 1), "VALID")
    return tf.transpose(tf.reshape(channels, (size, size, count, 3)), (2, 0, 1, 3))


def _change_colours(frames: tf.Tensor, amount: float, key: tf.Tensor) -> tf.Tensor:
    """Changes exposure, balance, contrast and saturation of all frames in the same way."""
    draws = amount * tf.random.stateless_uniform((6,), key, -1.0, 1.0)
    exposure, contrast, saturation = tf.unstack(tf.exp(draws[:3]))
    frames = frames * exposure * tf.exp(0.5 * draws[3:])
    mean = tf.reduce_mean(frames)
    frames = mean + contrast * (frames - mean)
    grey = tf.reduce_mean(frames, axis=-1, keepdims=True)
    return tf.clip_by_value(grey + saturation * (frames - grey), 0.0, 1.0)
