"""Multi-frame photometric consistency (paper, section 3.5, the term after equation (9))."""

import numpy as np
import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.rendering.sampling import sample_bilinear

SMALLEST_DISTANCE = 1e-4
"""ε of the robust norm: a fortieth of one step of an 8-bit image."""


class PhotometricLoss(Loss):
    """`photometric_loss` over the visible vertices of the face; measures `photometric_rgb`.

    The paper prints λpho = 1.6/|V|: the weight is the 1.6, and `normaliser` is |V|, the number of
    all of the template's vertices.
    """

    _mean_over_visible = False
    _robust = False

    def __init__(self, model: FaceReconstructor):
        face = np.flatnonzero(model.template.regions["face"])
        self.normaliser = self._number_of_vertices(model.template.num_vertices, len(face))
        with tf.init_scope():
            self._face_vertices = tf.constant(face, tf.int32)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        num_people, num_frames = tf.unstack(tf.shape(batch.frame_mask))
        mask = tf.reshape(batch.frame_mask, [-1])
        frames = tf.reshape(batch.frames, (-1, *batch.frames.shape[2:]))
        loss, error = _compare(
            frames,
            mask,
            faces.positions,
            faces.colours,
            faces.visible,
            self._face_vertices,
            self._mean_over_visible,
            self._robust,
        )
        measures = {"photometric_rgb": tf.reshape(error, (num_people, num_frames))}
        return LossValue(loss / tf.cast(num_people, loss.dtype), measures)

    @staticmethod
    def _number_of_vertices(all_vertices: int, of_face: int) -> float:
        del of_face
        return all_vertices


class VisiblePhotometricLoss(PhotometricLoss):
    """The same with |V| as the number of vertices that a frame shows: a mean over them."""

    _mean_over_visible = True

    @staticmethod
    def _number_of_vertices(all_vertices, of_face):
        del all_vertices, of_face
        return 1.0


class RobustPhotometricLoss(PhotometricLoss):
    """Distances, not their squares (MoFA, equation (8)); N is the number of the face's vertices."""

    _robust = True

    @staticmethod
    def _number_of_vertices(all_vertices, of_face):
        del all_vertices
        return of_face


class RobustVisiblePhotometricLoss(VisiblePhotometricLoss):
    """Distances, a mean over what a frame shows (multi-level paper, section 6.1)."""

    _robust = True


class BasePhotometricLoss(RobustVisiblePhotometricLoss):
    """The same of the base level; its measure is `base_photometric_rgb`."""

    of_base_level = True

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        value = super().__call__(batch, parameters, faces)
        measures = {f"base_{name}": values for name, values in value.measures.items()}
        return LossValue(value.value, measures)


# An XLA cluster of its own: half the time of single ops.
@tf.function(jit_compile=True, autograph=False)
def _compare(frames, frame_mask, positions, colours, visible, region, mean_over_visible, robust):
    """The term summed over people, and the error of each frame, on the vertices of a region."""
    positions, colours = tf.gather(positions, region), tf.gather(colours, region)
    observed = sample_bilinear(frames, positions)
    everywhere = tf.ones_like(region, tf.bool)
    weights = photometric_weights(tf.gather(visible, region), frame_mask, everywhere)
    if mean_over_visible:
        weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=0))
    return (
        photometric_loss(colours, observed, weights, num_people=1, robust=robust),
        photometric_error_rgb(colours, observed, weights),
    )


def photometric_weights(visible, frame_mask, region, dtype=tf.float32):
    """Says which vertices of which frames the photometric term sees.

    Args:
      visible: [V, N] bool, faces the camera and projects inside the crop.
      frame_mask: [N] bool, False for frames that only fill up a batch.
      region: [V] bool, the template's region that the losses see ("face").
      dtype: dtype of the result.

    Returns:
      [V, N], 1 where all three hold and 0 elsewhere.
    """
    return tf.cast(visible & frame_mask[tf.newaxis, :] & region[:, tf.newaxis], dtype)


def _masked_difference(colours, observed, weights):
    """`colours - observed` where weighted, 0 elsewhere, whatever values lie there."""
    seen = weights[:, tf.newaxis, :] > 0
    return tf.where(seen, colours - observed, tf.zeros([], colours.dtype))


def photometric_loss(colours, observed, weights, num_people, robust=False):
    """Σ_f Σ_i w_i ‖F(u_i) − c_i‖², mean over people; ‖·‖ without the square where robust.

    The norm is taken as √(‖·‖² + ε²) − ε: at 0 its own gradient has no direction.

    Args:
      colours: [V, 3, N] shaded colours c_i, sRGB in [0, 1], unclamped.
      observed: [V, 3, N] frames sampled at the projected vertices, F(u_i).
      weights: [V, N], e.g. from `photometric_weights`; no gradient flows through them, and a
        weight of 0 leaves a vertex out whatever its colours hold.
      num_people: B, a number or a scalar tensor.
      robust: ‖·‖ in place of ‖·‖².

    Returns:
      Scalar: summed over vertices and frames, divided by B.
    """
    weights = tf.stop_gradient(weights)
    difference = _masked_difference(colours, observed, weights)
    distance = tf.reduce_sum(tf.square(difference), axis=1)
    if robust:
        distance = tf.sqrt(distance + SMALLEST_DISTANCE**2) - SMALLEST_DISTANCE
    total = tf.reduce_sum(weights * distance)
    return total / tf.cast(num_people, colours.dtype)


def photometric_error_rgb(colours, observed, weights):
    """Photometric error of each frame, the measure that reports print.

    The mean absolute difference over the three channels and the weighted vertices, in [0, 255].
    The paper (supplemental, Table 4) prints "photometric error, RGB in [0,255]" without a
    formula; the mean absolute difference is our reading. Colours are not clamped before.

    Args:
      colours: [V, 3, N] shaded colours, sRGB in [0, 1].
      observed: [V, 3, N] sampled frames, sRGB in [0, 1].
      weights: [V, N], e.g. from `photometric_weights`.

    Returns:
      [N]; 0 for a frame with no weight at all, which a mean over frames has to leave out.
    """
    difference = tf.abs(_masked_difference(colours, observed, weights))
    per_vertex = tf.reduce_mean(difference, axis=1)
    return 255.0 * tf.math.divide_no_nan(
        tf.reduce_sum(weights * per_vertex, axis=0), tf.reduce_sum(weights, axis=0)
    )
