"""One step: all loss terms of a batch, their gradients, the update."""

import numpy as np
import tensorflow as tf

from fml_tf.geometry.topology import edges
from fml_tf.losses.expression import expression_loss
from fml_tf.losses.landmark import (
    gather_landmarks,
    landmark_error_px,
    landmark_loss,
    slide_contour,
)
from fml_tf.losses.objective import LossTerms, LossWeights, total_loss
from fml_tf.losses.photometric import (
    photometric_error_rgb,
    photometric_loss,
    photometric_weights,
)
from fml_tf.losses.smoothness import smoothness_loss
from fml_tf.losses.sparsity import chroma_weights, sparsity_loss
from fml_tf.models.fml_model import FmlModel
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.structures import DecodedFaces, FaceParameters, MultiFrameBatch
from fml_tf.training.optimizer import FusedAdam


class FrameErrors(tf.experimental.ExtensionType):
    """Measures of each frame, [B, M]; those of masked frames mean nothing.

    Attributes:
      landmark_px: mean distance of the landmarks to the detected ones, crop pixels.
      photometric: mean absolute RGB difference over visible vertices, in [0, 255].
    """

    landmark_px: tf.Tensor
    photometric: tf.Tensor


class Objective:
    """Equations (8) to (12) for a model: what a batch costs.

    Args:
      model: the model.
      weights: λ of the terms.
    """

    def __init__(self, model: FmlModel, weights: LossWeights):
        self.model = model
        self.weights = weights
        template = model.template
        with tf.init_scope():
            self._face_vertices = tf.constant(np.flatnonzero(template.regions["face"]), tf.int32)
            self._landmark_vertices = tf.constant(template.landmark_vertices)
            self._contour_candidates = tf.constant(template.contour_candidates)
            self._vertex_edges = tf.constant(edges(template.triangles))
            self._graph_edges = tf.constant(model.graph.edges)
            self._expression_sigma = tf.constant(model.expression_basis.sigma, tf.float32)

    def total(self, terms: LossTerms):
        """The weighted sum, a scalar."""
        return total_loss(terms, self.weights, self.model.template.num_vertices)

    def evaluate(
        self, batch: MultiFrameBatch, parameters: FaceParameters, faces: DecodedFaces
    ) -> tuple[LossTerms, FrameErrors]:
        """All terms and measures of a decoded batch; terms are means over people."""
        camera = self.model.camera
        num_people, num_frames = tf.unstack(tf.shape(batch.frame_mask))
        mask = tf.reshape(batch.frame_mask, [-1])
        detected = tf.reshape(batch.landmarks, (-1, *batch.landmarks.shape[2:]))
        confidence = tf.reshape(batch.landmark_confidence, (-1, detected.shape[1]))
        frames = tf.reshape(batch.frames, (-1, *batch.frames.shape[2:]))

        photometric, photometric_error = _photometric(
            frames, mask, faces.positions, faces.colours, faces.visible, self._face_vertices
        )
        landmark_indices = slide_contour(
            faces.vertices, self._landmark_vertices, self._contour_candidates, detected, camera
        )
        landmarks = gather_landmarks(faces.positions, landmark_indices)
        terms = LossTerms(
            photometric=photometric / tf.cast(num_people, photometric.dtype),
            landmark=landmark_loss(landmarks, detected, confidence, mask, camera.width, num_people),
            smoothness=smoothness_loss(faces.node_displacements, self._graph_edges),
            sparsity=_sparsity(faces.albedo, faces.colours, batch.frame_mask, self._vertex_edges),
            expression=expression_loss(
                parameters.expression, self._expression_sigma, batch.frame_mask
            ),
        )
        shape = (num_people, num_frames)
        errors = FrameErrors(
            landmark_px=tf.reshape(landmark_error_px(landmarks, detected), shape),
            photometric=tf.reshape(photometric_error, shape),
        )
        return terms, errors


# XLA clusters of their own: half the time of single ops.
@tf.function(jit_compile=True, autograph=False)
def _photometric(frames, frame_mask, positions, colours, visible, region):
    """Photometric term summed over people, and error of each frame, on the vertices of a region."""
    positions, colours = tf.gather(positions, region), tf.gather(colours, region)
    observed = sample_bilinear(frames, positions)
    everywhere = tf.ones_like(region, tf.bool)
    weights = photometric_weights(tf.gather(visible, region), frame_mask, everywhere)
    return (
        photometric_loss(colours, observed, weights, num_people=1),
        photometric_error_rgb(colours, observed, weights),
    )


@tf.function(jit_compile=True, autograph=False)
def _sparsity(albedo, colours, frame_mask, vertex_edges):
    """Equation (11) with the weights of this forward pass."""
    weights = chroma_weights(colours, frame_mask, vertex_edges)
    return sparsity_loss(albedo, vertex_edges, weights)


class TrainStep:
    """The update of all weights from one batch.

    Args:
      objective: the objective with its model.
      optimizer: holds the moments of all of the model's trainable variables.
    """

    def __init__(self, objective: Objective, optimizer: FusedAdam):
        self.objective = objective
        self.optimizer = optimizer
        model = objective.model
        face_model = model.face_model
        self._shape_variables = [face_model.shape_basis.value]
        self._mean_albedo = face_model.mean_albedo.value
        self._albedo_basis = face_model.albedo_basis.value
        networks = (model.encoder, model.identity_network, model.parameter_network)
        self._network_variables = [
            weight.value for network in networks for weight in network.trainable_weights
        ]

    @staticmethod
    def variables(model: FmlModel) -> list[tf.Variable]:
        """All variables that training updates, for the optimiser."""
        return [weight.value for weight in model.trainable_weights]

    def __call__(self, batch: MultiFrameBatch, learning_rates, identity_at_mean: bool):
        """Runs in a replica context.

        Args:
          batch: this replica's share of the global batch; B is static.
          learning_rates: (network, shape, albedo) scalar tensors.
          identity_at_mean: stage 1; only the networks are updated.

        Returns:
          `LossTerms` and `FrameErrors` of the batch before the update.
        """
        watched = [self._network_variables]
        if not identity_at_mean:
            watched.append(self._shape_variables)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            parameters = self.objective.model.encode(
                batch.frames, batch.frame_mask, identity_at_mean
            )
            faces = self.objective.model.decode(parameters)
            terms, errors = self.objective.evaluate(batch, parameters, faces)
            # The optimiser sums over replicas; the objective is a mean over all people.
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            loss = self.objective.total(terms) / replicas
        network_rate, shape_rate, albedo_rate = learning_rates
        if identity_at_mean:
            # The identity network gets no gradient.
            gradients = tape.gradient(loss, self._network_variables)
            pairs = [(g, v) for g, v in zip(gradients, self._network_variables) if g is not None]
            self.optimizer.apply([g for g, _ in pairs], [v for _, v in pairs], network_rate)
            return terms, errors
        network_gradients, shape_gradients, albedo_gradient = tape.gradient(
            loss, [self._network_variables, self._shape_variables, faces.albedo]
        )
        self.optimizer.apply(network_gradients, self._network_variables, network_rate)
        self.optimizer.apply(shape_gradients, self._shape_variables, shape_rate)
        # By hand through r̄ + Θa·β: the gradient of Θa is a product that need not be written out.
        num_people = batch.frames.shape[0]
        albedo_gradient = tf.reshape(albedo_gradient, (self._mean_albedo.shape[0], num_people))
        self.optimizer.apply(
            [tf.reduce_sum(albedo_gradient, axis=1)], [self._mean_albedo], albedo_rate
        )
        self.optimizer.apply_product(
            albedo_gradient,
            tf.ensure_shape(parameters.albedo, (num_people, None)),
            self._albedo_basis,
            albedo_rate,
        )
        return terms, errors
