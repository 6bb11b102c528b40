"""Geometry smoothness on the deformation graph (paper, section 3.5, equation (10))."""

import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor


class SmoothnessLoss(Loss):
    """`smoothness_loss` of a face model on a deformation graph.

    Raises:
      ValueError: the face model has no graph.
    """

    def __init__(self, model: FaceReconstructor):
        graph = getattr(model.face_model, "graph", None)
        if graph is None:
            raise ValueError(
                f"--smoothness_weight: the system {model.name} has no deformation graph; weights "
                f"that go with it are in configs/{model.name}_small.cfg"
            )
        with tf.init_scope():
            self._edges = tf.constant(graph.edges)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, parameters
        return LossValue(smoothness_loss(faces.identity.extras["node_displacements"], self._edges))


def smoothness_loss(node_displacements, edges):
    """Σ_i Σ_{j∈N_i} ‖t_i − t_j‖², mean over people: a linearised membrane energy.

    Args:
      node_displacements: [G, 3, B] displacement t of the nodes from their mean, in the config's
        `length_unit_mm`.
      edges: [E, 2] int, each pair of neighbouring nodes once; the double sum counts it twice.

    Returns:
      Scalar: summed over nodes and their neighbours, divided by B.
    """
    difference = tf.gather(node_displacements, edges[:, 0]) - tf.gather(
        node_displacements, edges[:, 1]
    )
    num_people = tf.cast(tf.shape(node_displacements)[2], node_displacements.dtype)
    return 2.0 * tf.reduce_sum(tf.square(difference)) / num_people
