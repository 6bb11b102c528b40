"""Regularisers of the shape's correctives (multi-level paper, section 6.2)."""

import numpy as np
import tensorflow as tf

from fml_tf.geometry.topology import edges
from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.face_models.multilevel import MultilevelFaceModel
from fml_tf.models.reconstructor import FaceReconstructor


class CorrectiveSizeLoss(Loss):
    """E_sta = (1/V) Σ_i ‖F_i‖², mm², mean over people: correctives stay near the base level.

    Raises:
      ValueError: the face model has no correctives.
    """

    def __init__(self, model: FaceReconstructor):
        if not isinstance(model.face_model, MultilevelFaceModel):
            raise ValueError(f"the system {model.name} has no correctives to regularise")

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, parameters
        displacements = faces.identity.extras["shape_correctives"]
        return LossValue(tf.reduce_mean(tf.reduce_sum(tf.square(displacements), axis=1)))


class CorrectiveSmoothnessLoss(CorrectiveSizeLoss):
    """E_smo = (1/V) Σ_i 1/|N_i| Σ_{j∈N_i} ‖F_i − F_j‖², mm², mean over people."""

    def __init__(self, model: FaceReconstructor):
        super().__init__(model)
        template = model.template
        pairs = edges(template.triangles)
        neighbours = np.bincount(pairs.ravel(), minlength=template.num_vertices)
        # Each pair counts once from either end.
        weights = (1.0 / neighbours[pairs]).sum(axis=1) / template.num_vertices
        with tf.init_scope():
            self._edges = tf.constant(pairs)
            self._weights = tf.constant(weights, tf.float32)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, parameters
        displacements = faces.identity.extras["shape_correctives"]
        ends = (tf.gather(displacements, self._edges[:, end]) for end in (0, 1))
        squared = tf.reduce_sum(tf.square(tf.subtract(*ends)), axis=1)  # [E, B]
        return LossValue(tf.reduce_mean(tf.linalg.matvec(squared, self._weights, transpose_a=True)))
