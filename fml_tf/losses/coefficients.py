"""Regularisers of a statistical model (MoFA, equation (10); Deep3D, equation (5))."""

import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.face_models.linear import LinearFaceModel
from fml_tf.models.reconstructor import FaceReconstructor


class ShapePriorLoss(Loss):
    """Σ α², in standard deviations, mean over people.

    Raises:
      ValueError: the face model is not a statistical one.
    """

    _name = "shape"

    def __init__(self, model: FaceReconstructor):
        if not isinstance(model.face_model, LinearFaceModel):
            raise ValueError(
                f"--{self._name}_prior_weight: the system {model.name} has no statistical model"
            )

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, faces
        squared = tf.reduce_sum(tf.square(parameters.identity[self._name]), axis=1)
        return LossValue(tf.reduce_mean(squared))


class AlbedoPriorLoss(ShapePriorLoss):
    """Σ β², likewise."""

    _name = "albedo"
