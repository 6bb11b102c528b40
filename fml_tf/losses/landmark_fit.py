"""Distance to a fit of the batch's landmarks by Gauss-Newton (ours)."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.losses.landmark import gather_landmarks, slide_contour
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.pose import rotation_matrix
from fml_tf.structures import FaceParameters, MultiFrameBatch

# Of the energy that is minimised, beside 1 for the landmarks in squared crop widths.
_SMOOTHNESS = 2e-3
_EXPRESSION = 1e-4
_ITERATIONS = 2
_DAMPING = 1e-6
_LONGEST_TURN = 0.5  # radian, of a step
_LEAST_DEPTH_MM = 100.0
# What differences from the fit count, beside the shape's in squared length units: the expression's
# in the same unit, positions' in squared crop widths, rotations' in squared radian.
_OF_EXPRESSION, _OF_POSITION, _OF_ROTATION = 0.4, 0.4, 0.01
_EVERY = 8  # vertices of the face of which one is compared


class Fit(NamedTuple):
    """What a fit moves, of B people and N = B·M frames.

    Attributes:
      shape: [B, g], α of equation (2).
      rotation: [N, 3, 3].
      translation: [N, 3] mm, camera space.
      expression: [N, b], in units of σ.
    """

    shape: tf.Tensor
    rotation: tf.Tensor
    translation: tf.Tensor
    expression: tf.Tensor


class LandmarkFit:
    """Steps of Gauss-Newton that minimise the paper's own terms on the landmarks of a batch.

    That is landmark + smoothness + expression, equations (9), (10) and (12), over shape, pose and
    expression, with one shape for all frames of a person. Θs is held.

    Args:
      model: its face model has a deformation graph.
      compared: numbers of vertices beside the landmarks' that `vertices` is to give.

    Raises:
      ValueError: the face model has no graph.
    """

    def __init__(self, model: FaceReconstructor, compared: np.ndarray):
        if not isinstance(model.face_model, GraphFaceModel):
            raise ValueError(
                f"the landmark fit needs a deformation graph; the system {model.name} has none"
            )
        self._model = model
        face_model, template = model.face_model, model.template
        groups = (template.landmark_vertices, template.contour_candidates.ravel(), compared)
        vertices, local = np.unique(np.concatenate(groups), return_inverse=True)
        landmarks, contour, compared = np.split(local, np.cumsum([len(g) for g in groups])[:2])
        basis = face_model.expression_basis
        skinning = face_model.graph.skinning_matrix()[vertices].toarray()
        expressions = basis.basis.reshape(len(basis.sigma), -1, 3)[:, vertices]
        expressions = np.moveaxis(expressions, 0, -1) * basis.sigma
        contour = contour.reshape(template.contour_candidates.shape)
        with tf.init_scope():
            self.compared = tf.constant(compared, tf.int32)
            self._landmarks = tf.constant(landmarks, tf.int32)
            self._contour = tf.constant(contour, tf.int32)
            self._mean = tf.constant(template.mean_shape[vertices], tf.float32)
            self._skinning = tf.constant(skinning * face_model.length_unit_mm, tf.float32)
            self._sigma = tf.constant(basis.sigma, tf.float32)
            self._expressions = tf.constant(expressions, tf.float32)  # [P, 3, b] mm
            self._edges = tf.constant(face_model.graph.edges)

    def start(self, parameters: FaceParameters) -> Fit:
        """The network's answers."""
        return Fit(
            parameters.identity["shape"],
            rotation_matrix(merge_frames(parameters.rotation)),
            merge_frames(parameters.translation),
            merge_frames(parameters.expression) / self._sigma,
        )

    def linear_shape(self):
        """S [P, 3, g], mm of the P vertices, and half the smoothness term's Hessian [g, g]."""
        face_model = self._model.face_model
        nodes = face_model.orthogonal_complement(face_model.shape_basis.value)
        size = nodes.shape[1]
        nodes = tf.reshape(nodes, (face_model.num_nodes, 3 * size))
        ends = (tf.gather(nodes, self._edges[:, end]) for end in (0, 1))
        differences = tf.reshape(tf.subtract(*ends), (-1, size))
        half_hessian = 2.0 * _SMOOTHNESS * tf.matmul(differences, differences, transpose_a=True)
        return tf.reshape(self._skinning @ nodes, (-1, 3, size)), half_hessian

    def vertices(self, shapes, fit: Fit):
        """Neutral [P, 3, B], displaced by [P, 3, N], turned and displaced [P, 3, N], mm."""
        neutral = self._mean[..., None] + tf.einsum("pcg,bg->pcb", shapes, fit.shape)
        displacements = tf.einsum("pce,ne->pcn", self._expressions, fit.expression)
        num_frames = tf.shape(displacements)[2] // tf.shape(neutral)[2]
        head = tf.repeat(neutral, num_frames, axis=2) + displacements
        return neutral, displacements, tf.einsum("nij,pjn->pin", fit.rotation, head)

    def step(self, batch: MultiFrameBatch, linear_shape, fit: Fit) -> Fit:
        """One step; frames are independent of each other given the identity."""
        shapes, smoothness = linear_shape
        num_people, num_frames = tf.unstack(tf.shape(batch.frame_mask))
        size, frame_size = fit.shape.shape[1], 6 + fit.expression.shape[1]
        # Products of derivatives by frame, by identity, and of the residual, at once.
        rows = self.rows(batch, shapes, fit)
        products = tf.matmul(rows, rows, transpose_a=True)
        pull = _EXPRESSION * tf.pad(fit.expression, [[0, 0], [6, 0]])
        across = products[:, :frame_size, frame_size:]
        across += tf.pad(pull[..., None], [[0, 0], [0, 0], [size, 0]])
        of_frame = products[:, :frame_size, :frame_size]
        of_frame += tf.linalg.diag(tf.pad(tf.fill([frame_size - 6], _EXPRESSION), [[6, 0]]))
        solved = _solve(of_frame, across)  # [N, F, g + 1]
        reduced = products[:, frame_size:-1, frame_size:]
        reduced -= tf.matmul(across[..., :size], solved, transpose_a=True)
        reduced = tf.reshape(reduced, (num_people, num_frames, size, size + 1))
        reduced = tf.reduce_sum(reduced, axis=1)
        gradient = reduced[..., size:] + (fit.shape @ smoothness)[..., None]
        of_shape = -_solve(reduced[..., :size] + smoothness, gradient)
        of_frames = -solved[..., size] - tf.squeeze(
            solved[..., :size] @ tf.repeat(of_shape, num_frames, axis=0), axis=-1
        )
        turn = tf.clip_by_norm(of_frames[:, :3], _LONGEST_TURN, axes=[1])
        return Fit(
            fit.shape + of_shape[..., 0],
            rotation_matrix(turn) @ fit.rotation,
            fit.translation + self._model.config.length_unit_mm * of_frames[:, 3:6],
            fit.expression + of_frames[:, 6:],
        )

    def rows(self, batch: MultiFrameBatch, shapes, fit: Fit):
        """Derivatives and residuals of the landmarks in crop widths, [N, 2L, 6 + b + g + 1].

        By a further rotation about the camera's axes, the translation in length units, the
        expression, and the identity; the residual is last. Each landmark is weighted by the root of
        its confidence.
        """
        model = self._model
        camera = model.camera
        weights = merge_frames(batch.landmark_confidence)
        weights *= tf.cast(merge_frames(batch.frame_mask)[:, None], tf.float32)
        detected = tf.where(weights[..., None] > 0, merge_frames(batch.landmarks), 0.0)
        *_, turned = self.vertices(shapes, fit)
        vertices = turned + tf.transpose(fit.translation)
        indices = slide_contour(vertices, self._landmarks, self._contour, detected, camera)
        projected = gather_landmarks(model.backend.project(vertices, camera), indices)
        about = gather_landmarks(turned, indices)
        x, y, z = tf.unstack(about + fit.translation[:, None], axis=-1)
        depth = tf.maximum(-z, _LEAST_DEPTH_MM)
        scale, zero = camera.focal_length_px / depth / camera.width, tf.zeros_like(depth)
        across = tf.stack([scale, zero, scale * x / depth], axis=-1)
        down = tf.stack([zero, -scale, -scale * y / depth], axis=-1)
        by_point = tf.stack([across, down], axis=1)  # [N, 2, L, 3]
        by_turn = tf.linalg.cross(tf.broadcast_to(about[:, None], tf.shape(by_point)), by_point)
        by_head = tf.einsum("nilj,njk->nilk", by_point, fit.rotation)

        def by(basis):
            chosen = tf.gather(basis, indices)[:, None]  # [N, 1, L, 3, k]
            return tf.add_n([by_head[..., k, None] * chosen[..., k, :] for k in range(3)])

        residual = tf.transpose(projected - detected, (0, 2, 1)) / camera.width
        rows = [by_turn, model.config.length_unit_mm * by_point, by(self._expressions), by(shapes)]
        rows = tf.concat([*rows, residual[..., None]], axis=-1)
        rows *= tf.sqrt(weights)[:, None, :, None]
        # A factorisation of what is not finite raises; the terms themselves say it better.
        rows = tf.where(tf.math.is_finite(rows), rows, 0.0)
        return tf.reshape(rows, (-1, 2 * rows.shape[2], rows.shape[3]))


class LandmarkFitLoss(Loss):
    """How far the network's answers lie from `LandmarkFit` of them.

    The gradient of the landmark term at one parameter carries the errors of all others, pose before
    all. The difference from the fit tells each its own share. No gradient flows through the fit,
    nor to the face model's weights.

    Raises:
      ValueError: the face model has no deformation graph.
    """

    def __init__(self, model: FaceReconstructor):
        self._model = model
        face = np.flatnonzero(model.template.regions["face"])
        self._fit = LandmarkFit(model, face[::_EVERY])

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del faces
        linear_shape = tuple(map(tf.stop_gradient, self._fit.linear_shape()))
        answer = self._fit.start(parameters)
        fit = Fit(*map(tf.stop_gradient, answer))
        for _ in range(_ITERATIONS):
            fit = self._fit.step(batch, linear_shape, fit)
        fit = Fit(*map(tf.stop_gradient, fit))
        seen = tf.cast(merge_frames(batch.frame_mask), tf.float32)

        def difference(values, fitted, weights=1.0):
            squared = tf.reduce_sum(tf.square(values - fitted), axis=1)
            return tf.reduce_sum(weights * tf.reduce_mean(squared, axis=0))

        shape, expression, position = zip(
            self._compared(linear_shape[0], answer), self._compared(linear_shape[0], fit)
        )
        turn = 0.5 * tf.reduce_sum(tf.square(answer.rotation - fit.rotation), axis=(1, 2))
        total = (
            difference(*shape)
            + _OF_EXPRESSION * difference(*expression, seen)
            + _OF_POSITION * difference(*position, seen)
            + _OF_ROTATION * tf.reduce_sum(seen * turn)
        )
        return LossValue(total / tf.cast(tf.shape(batch.frame_mask)[0], total.dtype))

    def _compared(self, shapes, fit: Fit):
        """Neutral shape and displacements in length units, positions in crop widths."""
        model, vertices = self._model, self._fit.compared
        neutral, displacements, turned = self._fit.vertices(shapes, fit)
        positions = model.backend.project(turned + tf.transpose(fit.translation), model.camera)
        unit = model.config.length_unit_mm
        return (
            tf.gather(neutral, vertices) / unit,
            tf.gather(displacements, vertices) / unit,
            tf.gather(positions, vertices) / model.camera.width,
        )


def _solve(matrices, right):
    """H⁻¹·right of symmetric positive matrices, damped a little."""
    size = tf.linalg.trace(matrices)[:, None, None]
    damped = matrices + _DAMPING * (1.0 + size) * tf.eye(matrices.shape[-1])
    return tf.linalg.cholesky_solve(tf.linalg.cholesky(damped), right)
