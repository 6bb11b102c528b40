"""Features of M frames → features of a person."""

import tensorflow as tf


def mean_over_frames(features, frame_mask):
    """Mean over a person's frames (paper, section 3.4).

    Args:
      features: [B·M, ...].
      frame_mask: [B, M] bool; True at least once per person.

    Returns:
      [B, ...].
    """
    num_people, num_frames = tf.unstack(tf.shape(frame_mask))
    features = tf.reshape(features, (num_people, num_frames, *features.shape[1:]))
    weights = tf.cast(frame_mask, features.dtype)
    weights = weights[(..., *[None] * (features.shape.rank - 2))]
    return tf.reduce_sum(weights * features, axis=1) / tf.reduce_sum(weights, axis=1)
