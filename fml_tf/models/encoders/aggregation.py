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
    features, mask = _by_person(features, frame_mask)
    weights = tf.cast(mask, features.dtype)
    return tf.reduce_sum(weights * features, axis=1) / tf.reduce_sum(weights, axis=1)


def max_over_frames(features, frame_mask):
    """Maximum over a person's frames (supplemental, section 3). As `mean_over_frames`."""
    features, mask = _by_person(features, frame_mask)
    return tf.reduce_max(tf.where(mask, features, features.dtype.min), axis=1)


def _by_person(features, frame_mask):
    """Features [B, M, ...] and the mask in a shape that goes with them."""
    num_people, num_frames = tf.unstack(tf.shape(frame_mask))
    features = tf.reshape(features, (num_people, num_frames, *features.shape[1:]))
    return features, frame_mask[(..., *[None] * (features.shape.rank - 2))]


AGGREGATIONS = {"mean": mean_over_frames, "max": max_over_frames}
"""By the names that `--frame_pooling` takes."""
