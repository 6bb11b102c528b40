"""Terms on the truth of synthetic people (all ours; the paper has none).

They compare what the model says with `MultiFrameBatch.truth`, over the vertices of the region
"face" at the open template's coarsest level, in the units of the other terms: positions in crop
widths, lengths in `length_unit_mm`, colours in [0, 1]. Each is a mean over vertices and people,
summed over frames where it has any.
"""

import numpy as np
import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.pose import rotation_matrix
from fml_tf.template.makehuman import load_makehuman


class _TruthLoss(Loss):
    """What the terms have in common.

    Raises:
      ValueError: the model's template is not the one that the truth is given on.
    """

    needs_truth = True

    def __init__(self, model: FaceReconstructor):
        if model.config.template != "makehuman":
            raise ValueError("losses on the truth need --template=makehuman, on which it is given")
        self._unit = model.config.length_unit_mm
        self._crop_width = model.camera.width
        with tf.init_scope():
            face = np.flatnonzero(load_makehuman("4k").regions["face"])
            self._face = tf.constant(face, tf.int32)
            blendshapes = load_makehuman("4k").blendshapes[:, face]
            self._blendshapes = tf.constant(blendshapes.reshape(len(blendshapes), -1))

    def _of_face(self, values):
        """[V, C, N] → [face, C, N]."""
        return tf.gather(values, self._face)

    def _truth_of_face(self, values):
        """[B, ..., V, C] → [face, C, N]."""
        values = tf.gather(values, self._face, axis=-2)
        return tf.transpose(tf.reshape(values, (-1, *values.shape[-2:])), (1, 2, 0))


def _centred(values):
    """[V, C, N] about their mean vertex."""
    return values - tf.reduce_mean(values, axis=0, keepdims=True)


def _mean_square(difference):
    """[V, C, N] → [N]: squared lengths, a mean over vertices."""
    return tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1), axis=0)


def _over_frames(values, frame_mask):
    """[N] → scalar: summed over the unmasked frames, a mean over people."""
    mask = tf.reshape(frame_mask, [-1])
    total = tf.reduce_sum(tf.where(mask, values, tf.zeros([], values.dtype)))
    return total / tf.cast(tf.shape(frame_mask)[0], values.dtype)


class DensePositionLoss(_TruthLoss):
    """Where the face's vertices project to; measures `position_px`."""

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        difference = self._of_face(faces.positions) - self._truth_of_face(batch.truth.positions)
        distance = tf.reduce_mean(tf.norm(difference, axis=1), axis=0)
        value = _over_frames(_mean_square(difference / self._crop_width), batch.frame_mask)
        return LossValue(value, {"position_px": tf.reshape(distance, tf.shape(batch.frame_mask))})


class NeutralShapeLoss(_TruthLoss):
    """The neutral face, wherever its centre lies and however large it is.

    How large a face is does not show in a picture whose focal length is not known: left in, it
    would be noise, and what a network learns by heart of its training people.
    """

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        shape = _centred(self._of_face(faces.identity.neutral_vertices))
        truth = _centred(self._truth_of_face(batch.truth.neutral_shape))
        scale = tf.reduce_sum(shape * truth, axis=(0, 1)) / tf.reduce_sum(shape**2, axis=(0, 1))
        difference = scale * shape - truth
        return LossValue(tf.reduce_mean(_mean_square(difference / self._unit)))


class TrueExpressionLoss(_TruthLoss):
    """Displacements of the expression from the neutral face."""

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        activations = merge_frames(batch.truth.blendshape_activations)
        truth = tf.matmul(self._blendshapes, activations, transpose_a=True, transpose_b=True)
        difference = self._of_face(faces.displacements)
        difference -= tf.reshape(truth, tf.shape(difference))
        return LossValue(_over_frames(_mean_square(difference / self._unit), batch.frame_mask))


class TrueAlbedoLoss(_TruthLoss):
    """The albedo, as dark or as bright as it is."""

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        difference = self._of_face(faces.identity.albedo) - self._truth_of_face(batch.truth.albedo)
        return LossValue(tf.reduce_mean(_mean_square(difference)))


class RotationLoss(_TruthLoss):
    """Head pose: ½‖R − R*‖² = 2 (1 − cos) of the angle between, its square where it is small."""

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del faces
        rotation, truth = (
            rotation_matrix(merge_frames(vectors))
            for vectors in (parameters.rotation, batch.truth.rotation)
        )
        half = 0.5 * tf.reduce_sum(tf.square(rotation - truth), axis=(1, 2))
        return LossValue(_over_frames(half, batch.frame_mask))
