"""Regularisers of the albedo (multi-level paper, section 6.2; Deep3D, equation (6))."""

import numpy as np
import tensorflow as tf

from fml_tf.geometry.topology import edges
from fml_tf.losses.base import Loss, LossValue
from fml_tf.losses.sparsity import chroma, sparsity_loss
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.template.bare_skin import bare_skin

SHARPNESS = 50.0
"""Of the chroma weights. The exponent's sign and base are lost in the paper's text: ours."""
_PARTNERS, _SEED = 6, 0


class ReflectanceSparsityLoss(Loss):
    """E_ref = (1/V) Σ_i Σ_{j∈N_i} w_ij ‖r_i − r_j‖^0.9, mean over people.

    w_ij = exp(−50 ‖h_i − h_j‖) of the picture's chroma h where the vertices project to: neighbours
    of like chroma should share their albedo. No gradient flows through the weights. Over several
    frames of a person they are averaged, hidden frames aside.
    """

    def __init__(self, model: FaceReconstructor):
        self.normaliser = model.template.num_vertices
        with tf.init_scope():
            self._edges = tf.constant(edges(model.template.triangles))

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        frames, mask = merge_frames(batch.frames), tf.reshape(batch.frame_mask, [-1])
        observed = sample_bilinear(frames, tf.stop_gradient(faces.positions))
        h = chroma(observed)
        ends = (tf.gather(h, self._edges[:, end]) for end in (0, 1))
        weights = tf.exp(-SHARPNESS * tf.norm(tf.subtract(*ends), axis=1))  # [E, N]
        shape = (-1, *tf.unstack(tf.shape(batch.frame_mask)))
        seen = tf.cast(mask, weights.dtype)
        weights = tf.reduce_sum(tf.reshape(weights * seen, shape), axis=2)
        frames_of = tf.reduce_sum(tf.cast(batch.frame_mask, weights.dtype), axis=1)
        weights = tf.math.divide_no_nan(weights, frames_of)
        return LossValue(sparsity_loss(faces.identity.albedo, self._edges, weights))


class ReflectanceConstancyLoss(Loss):
    """E_glo = (1/|R|) Σ_{i∈R} Σ_{j∈G_i} ‖r_i − r_j‖², mean over people.

    R is bare skin; G_i are six of its vertices, drawn once.
    """

    def __init__(self, model: FaceReconstructor):
        region = np.flatnonzero(bare_skin(model.template))
        self.normaliser = len(region)
        partners = np.random.default_rng(_SEED).choice(region, (len(region), _PARTNERS))
        with tf.init_scope():
            self._region = tf.constant(region, tf.int32)
            self._partners = tf.constant(partners, tf.int32)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, parameters
        albedo = faces.identity.albedo
        difference = tf.gather(albedo, self._region)[:, None] - tf.gather(albedo, self._partners)
        squared = tf.reduce_sum(tf.square(difference), axis=(0, 1, 2))
        return LossValue(tf.reduce_mean(squared))


class FlatAlbedoLoss(Loss):
    """The variance of the albedo over bare skin, summed over channels, mean over people."""

    def __init__(self, model: FaceReconstructor):
        with tf.init_scope():
            region = np.flatnonzero(bare_skin(model.template))
            self._region = tf.constant(region, tf.int32)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del batch, parameters
        albedo = tf.gather(faces.identity.albedo, self._region)
        variance = tf.math.reduce_variance(albedo, axis=0)  # [3, B]
        return LossValue(tf.reduce_mean(tf.reduce_sum(variance, axis=0)))
