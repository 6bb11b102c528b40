"""Expression regularisation (paper, section 3.5, equation (12))."""

import tensorflow as tf


def expression_loss(expression, sigma, frame_mask):
    """Σ_f Σ_u (δ_u / σ_u)², mean over people.

    Args:
      expression: [B, M, b] coefficients δ of the expression basis.
      sigma: [b] their standard deviations.
      frame_mask: [B, M] bool; False leaves a frame out whatever its coefficients hold.

    Returns:
      Scalar: summed over frames and coefficients, divided by B.
    """
    scaled = tf.where(
        frame_mask[..., tf.newaxis],
        expression / tf.cast(sigma, expression.dtype),
        tf.zeros([], expression.dtype),
    )
    num_people = tf.cast(tf.shape(expression)[0], expression.dtype)
    return tf.reduce_sum(tf.square(scaled)) / num_people
