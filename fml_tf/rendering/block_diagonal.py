"""One small matrix per frame, applied to vertex-major arrays."""

import tensorflow as tf


def multiply_per_frame(values, matrices):
    """Multiplies the middle axis of vertex-major values by a matrix of each frame.

    Done as one matrix product with the block-diagonal [aN, bN] of all frames: N times the
    arithmetic, but at the speed of a matrix product, in place and with no transpose of [V, ...];
    above all the gradient of the matrices, a sum over all vertices, is a matrix product too.

    Args:
      values: [V, a, N].
      matrices: [N, a, b].

    Returns:
      [V, b, N]: out[v, :, n] = values[v, :, n] · matrices[n].
    """
    frames = tf.shape(matrices)[0]
    rows, columns = matrices.shape[1:]
    blocks = tf.linalg.diag(tf.transpose(matrices, [1, 2, 0]))  # [a, b, N, N]
    blocks = tf.reshape(tf.transpose(blocks, [0, 2, 1, 3]), [rows * frames, columns * frames])
    product = tf.reshape(values, [-1, rows * frames]) @ blocks
    return tf.reshape(product, [-1, columns, frames])
