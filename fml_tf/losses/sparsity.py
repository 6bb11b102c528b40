"""Appearance sparsity (paper, section 3.5, equation (11))."""

import tensorflow as tf

from fml_tf.geometry.topology import edges
from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor

# Sharpness of the chroma weights and exponent of the norm, as printed below equation (11).
ETA = 80.0
P = 0.9

# Albedo difference below which the p-norm turns quadratic: at 0 its own gradient is infinite.
# A fortieth of one step of an 8-bit image.
SMALLEST_DIFFERENCE = 1e-4


class SparsityLoss(Loss):
    """`sparsity_loss` over the edges of a template, with the weights of this forward pass."""

    def __init__(self, model: FaceReconstructor):
        with tf.init_scope():
            self._edges = tf.constant(edges(model.template.triangles))

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        return LossValue(
            _weighted_sparsity(faces.identity.albedo, faces.colours, batch.frame_mask, self._edges)
        )


# An XLA cluster of its own: half the time of single ops.
@tf.function(jit_compile=True, autograph=False)
def _weighted_sparsity(albedo, colours, frame_mask, vertex_edges):
    weights = chroma_weights(colours, frame_mask, vertex_edges)
    return sparsity_loss(albedo, vertex_edges, weights)


def chroma(colours):
    """Chroma c / Σ c of RGB colours, invariant to their intensity.

    Args:
      colours: [V, 3, B] RGB; negative values (light can be negative) count as 0.

    Returns:
      [V, 3, B], summing to 1 over the channels; grey where the colour is black.
    """
    colours = tf.nn.relu(colours)
    total = tf.reduce_sum(colours, axis=1, keepdims=True)
    grey = tf.constant(1 / 3, colours.dtype)
    return tf.where(total > 0, tf.math.divide_no_nan(colours, total), grey)


def chroma_weights(colours, frame_mask, edges):
    """w_ij = exp(−η ‖h_i − h_j‖): neighbours of like chroma should share their albedo.

    The paper takes the chroma h of the shaded colours of the last forward pass, but leaves open
    how M frames make one weight: we take the chroma of a person's mean colour over its frames.
    No gradient flows through the weights.

    Args:
      colours: [V, 3, B·M] shaded colours, frame n = b·M + m.
      frame_mask: [B, M] bool.
      edges: [E, 2] int, vertex pairs.

    Returns:
      [E, B] in (0, 1].
    """
    num_people, num_frames = tf.unstack(tf.shape(frame_mask))
    frames = tf.reshape(tf.nn.relu(colours), [-1, 3, num_people, num_frames])
    # The sum does for the mean: chroma knows no intensity.
    colour = tf.reduce_sum(tf.where(frame_mask, frames, tf.zeros([], frames.dtype)), axis=-1)
    h = chroma(colour)
    distance = tf.norm(tf.gather(h, edges[:, 0]) - tf.gather(h, edges[:, 1]), axis=1)
    return tf.stop_gradient(tf.exp(-ETA * distance))


def sparsity_loss(albedo, edges, weights):
    """Σ_i Σ_{j∈N_i} w_ij ‖r_i − r_j‖^p with p = 0.9, mean over people.

    The norm is taken as (‖·‖² + ε²)^{p/2} − ε^p, so that equal albedos cost nothing and have
    gradient 0; ε is `SMALLEST_DIFFERENCE`.

    Args:
      albedo: [V, 3, B] sRGB in [0, 1].
      edges: [E, 2] int, each pair of neighbouring vertices once; the double sum counts it twice.
      weights: [E, B] from `chroma_weights`.

    Returns:
      Scalar: summed over vertices and their neighbours, divided by B.
    """
    difference = tf.gather(albedo, edges[:, 0]) - tf.gather(albedo, edges[:, 1])
    squared = tf.reduce_sum(tf.square(difference), axis=1)
    norm = tf.pow(squared + SMALLEST_DIFFERENCE**2, P / 2) - SMALLEST_DIFFERENCE**P
    num_people = tf.cast(tf.shape(albedo)[2], albedo.dtype)
    return 2.0 * tf.reduce_sum(tf.stop_gradient(weights) * norm) / num_people
