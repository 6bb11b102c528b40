"""Rigid pose: rotation vectors, and their action on vertices (paper, section 3.3)."""

import tensorflow as tf

from fml_tf.rendering.block_diagonal import multiply_per_frame


def _sinc(squared):
    """sin(√s)/√s of s ≥ 0, whose derivative in s is finite at 0, unlike that of √s."""
    small = squared < 0.1
    root = tf.sqrt(tf.where(small, tf.ones_like(squared), squared))
    series = 1.0 + squared * (
        -1 / 6
        + squared * (1 / 120 + squared * (-1 / 5040 + squared * (1 / 362880 - squared / 39916800)))
    )
    return tf.where(small, series, tf.sin(root) / root)


def rotation_matrix(rotation_vectors):
    """Rotation matrices of rotation vectors, R = exp([ω]×), by Rodrigues' formula.

    The gradient is exact everywhere, at zero rotation too.

    Args:
      rotation_vectors: [N, 3] axis times angle, radian.

    Returns:
      [N, 3, 3].
    """
    rotation_vectors = tf.convert_to_tensor(rotation_vectors)
    x, y, z = tf.unstack(rotation_vectors, axis=-1)
    zero = tf.zeros_like(x)
    cross = tf.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    cross = tf.reshape(cross, [-1, 3, 3])
    squared = tf.reduce_sum(rotation_vectors**2, axis=-1)[:, None, None]
    identity = tf.eye(3, dtype=rotation_vectors.dtype)
    # (1 − cos θ)/θ² = ½ sinc²(θ/2), which does not cancel.
    return identity + _sinc(squared) * cross + 0.5 * _sinc(squared / 4) ** 2 * (cross @ cross)


def rotate(vectors, rotation):
    """Rotates points or directions: R v.

    Args:
      vectors: [V, 3, N].
      rotation: [N, 3, 3].

    Returns:
      [V, 3, N].
    """
    return multiply_per_frame(vectors, tf.linalg.matrix_transpose(rotation))


def rotation_vector(rotation):
    """Rotation vectors of rotation matrices, the inverse of `rotation_matrix`.

    Args:
      rotation: [N, 3, 3]; exact below half a turn.

    Returns:
      [N, 3] axis times angle, radian.
    """
    skew = rotation - tf.linalg.matrix_transpose(rotation)
    axis = 0.5 * tf.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=-1)  # times sin θ
    sine = tf.norm(axis, axis=-1, keepdims=True)
    angle = tf.atan2(sine, 0.5 * (tf.linalg.trace(rotation)[:, None] - 1.0))
    return axis * tf.where(sine > 1e-6, angle / tf.maximum(sine, 1e-6), tf.ones_like(sine))
