"""Expression regularisation (paper, section 3.5, equation (12))."""

import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor


class ExpressionLoss(Loss):
    """`expression_loss` of a model's basis."""

    def __init__(self, model: FaceReconstructor):
        with tf.init_scope():
            self._sigma = tf.constant(model.expression_basis.sigma, tf.float32)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del faces
        return LossValue(expression_loss(parameters.expression, self._sigma, batch.frame_mask))


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
