"""Bases stored for serving, in 32 or 16 bits, and products with them."""

import numpy as np
import tensorflow as tf

_BLOCK = 2048  # rows of a 16-bit basis that are converted at a time


def stored(values, dtype: str) -> tf.Variable:
    """A constant as a variable, so that an exported model holds it once.

    Raises:
      ValueError: a value that overflows in `dtype`, or is not finite.
    """
    values = tf.cast(values, dtype)
    if not np.isfinite(tf.cast(values, tf.float32)).all():
        raise ValueError(f"the model holds numbers that {dtype} cannot store; take another dtype")
    return tf.Variable(values, trainable=False)


def combine(basis: tf.Variable, coefficients) -> tf.Tensor:
    """Basis [rows, k] · coefficients [N, k] → [rows, N], in float32."""

    def product(rows):
        return tf.matmul(tf.cast(rows, tf.float32), coefficients, transpose_b=True)

    if basis.dtype == tf.float32:
        return product(basis)
    # In blocks that stay in the cache: a float32 copy of all would go through memory twice.
    starts = range(0, basis.shape[0], _BLOCK)
    return tf.concat([product(basis[i : i + _BLOCK]) for i in starts], axis=0)
