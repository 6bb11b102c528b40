"""Checks inside the exported graph: a bad request gets an error that names the input.

What a runtime knows of an input before the request comes (its static shape) is set aside here, or
graph optimisers would take the checks away as always true: TensorFlow Serving feeds whatever a
request holds.
"""

import tensorflow as tf

MAX_FRAMES = 64
"""B · M of a request: what it takes grows with its frames, in time by their square."""

MAX_PARAMETER = 1e6
"""Largest size of a parameter. Frames are computed in one product in which each has zeros in the
others' places, so that an overflow in one would be NaN in all."""

_SHOWN = 32  # numbers of a tensor that a message shows


def require(condition, message: str, *values):
    """An op that fails with the message and the values unless the condition is true."""
    return tf.debugging.Assert(condition, [message, *values], summarize=_SHOWN)


def check_shape(values, name: str, expected: str, sizes: tuple[int | None, ...]):
    """Checks rank and sizes at run time.

    Args:
      values: a tensor.
      name: of the input, for the message.
      expected: the shape in words, for the message.
      sizes: per axis, the size, or None for any from 1.

    Returns:
      The values; errors come before anything that uses them.
    """
    values = tf.compat.v1.placeholder_with_default(values, tf.TensorShape(None))
    shape = tf.shape(values)
    # Filled up or cut to the expected rank: comparing sizes never fails in words of its own.
    compared = tf.pad(shape, [[0, len(sizes)]])[: len(sizes)]
    low = tf.constant([size or 1 for size in sizes])
    high = tf.constant([size or tf.int32.max for size in sizes])
    fits = tf.reduce_all((compared >= low) & (compared <= high))
    fits &= tf.equal(tf.rank(values), len(sizes))
    with tf.control_dependencies([require(fits, f"{name}: expected {expected}, got shape", shape)]):
        values = tf.identity(values)
    values.set_shape(sizes)
    return values


def check_frame_count(values, name: str):
    """Checks [B, M, ...] for B · M of at most `MAX_FRAMES`."""
    count = tf.reduce_prod(tf.shape(values)[:2])
    message = f"{name}: expected at most {MAX_FRAMES} frames (B · M) in a request, got"
    with tf.control_dependencies([require(count <= MAX_FRAMES, message, count)]):
        return tf.identity(values)


def check_finite(values, name: str):
    """Checks that there is neither NaN nor infinity."""
    finite = tf.reduce_all(tf.math.is_finite(values))
    message = f"{name}: expected finite numbers, got NaN or infinity"
    with tf.control_dependencies([require(finite, message)]):
        return tf.identity(values)


def check_bounded(values, name: str):
    """Checks that no value is larger in size than `MAX_PARAMETER`, infinite or NaN."""
    bounded = tf.reduce_all(tf.abs(values) <= MAX_PARAMETER)
    message = f"{name}: expected finite numbers of at most {MAX_PARAMETER:.0e} in size"
    with tf.control_dependencies([require(bounded, message)]):
        return tf.identity(values)


def check_frames(frames, size: int):
    """Checks [B, M, size, size, 3] in [0, 1]."""
    expected = f"[B, M, {size}, {size}, 3] with B and M at least 1"
    frames = check_shape(frames, "frames", expected, (None, None, size, size, 3))
    frames = check_finite(check_frame_count(frames, "frames"), "frames")
    low, high = tf.reduce_min(frames), tf.reduce_max(frames)
    message = "frames: expected RGB in [0, 1] (divide bytes by 255), got values from, to"
    inside = require((low >= 0.0) & (high <= 1.0), message, low, high)
    with tf.control_dependencies([inside]):
        return tf.identity(frames)


def check_mask(mask, frames, of: str):
    """Checks [B, M] as of the frames, with a true entry for each person.

    Args:
      mask: bool.
      frames: [B, M, ...], checked already.
      of: name of the frames' input.
    """
    mask = check_shape(mask, "frame_mask", "[B, M] with B and M at least 1", (None, None))
    ours, theirs = tf.shape(mask), tf.shape(frames)[:2]
    message = f"frame_mask: expected [B, M] as of {of}, got (mask's shape, that of {of})"
    fits = require(tf.reduce_all(ours == theirs), message, ours, theirs)
    message = "frame_mask: expected at least one true frame for each person, got numbers of frames"
    counts = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    some = require(tf.reduce_all(counts > 0), message, counts)
    with tf.control_dependencies([fits, some]):
        return tf.identity(mask)


def check_same_sizes(values: dict) -> dict:
    """Checks that all tensors agree in their leading axes: B, and M where they have it.

    Args:
      values: tensors by input name, each of at least rank 2 and checked already; those of rank 3
        and more are [B, M, ...], the others [B, ...].

    Returns:
      The same, behind the checks.
    """
    names = list(values)
    people = {name: tf.shape(values[name])[0] for name in names}
    frames = {name: tf.shape(values[name])[1] for name in names if values[name].shape.rank > 2}
    checks = []
    for axis, sizes in (("B", people), ("M", frames)):
        counts = tf.stack(list(sizes.values()))
        message = f"{', '.join(sizes)}: expected the same {axis} in all, got"
        checks.append(require(tf.reduce_all(counts == counts[0]), message, counts))
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in values.items()}
