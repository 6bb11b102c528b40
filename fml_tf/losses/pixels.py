"""Photometric consistency of pixels (Deep3D, section 3.2, equation (1))."""

import dataclasses

import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.preprocessing.skin_attention import skin_attention
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.pixel_image import render_faces

_EPSILON = 1e-6  # under the root


class PixelPhotometricLoss(Loss):
    """Σ_i A_i ‖I_i − I'_i‖ / Σ_i A_i over the pixels that show the face, a mean over people.

    A is the attention to skin: what hides a face has another colour. A frame that shows less than a
    pixel of attention counts for nothing. Pictures are compared at `config.pixel_size`.
    """

    def __init__(self, model: FaceReconstructor):
        self._backend = model.backend
        size = model.config.pixel_size or model.config.crop_size
        focal_length = model.camera.focal_length_px * size / model.camera.width
        self._camera = dataclasses.replace(
            model.camera, focal_length_px=focal_length, width=size, height=size
        )
        with tf.init_scope():
            self._region = tf.constant(model.template.regions["face"])
            self._triangles = tf.constant(model.template.triangles)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        size = self._camera.width
        frames = merge_frames(batch.frames)
        if frames.shape[1] != size:
            frames = tf.image.resize(frames, (size, size), "area")
        pictures, mask = render_faces(
            faces.vertices,
            faces.colours,
            self._region,
            self._triangles,
            self._camera,
            self._backend,
        )
        errors = pixel_photometric_loss(pictures, frames, mask * skin_attention(frames))
        errors = tf.reshape(errors, tf.shape(batch.frame_mask))
        seen = tf.where(batch.frame_mask, errors, 0.0)
        return LossValue(tf.reduce_sum(seen) / tf.cast(tf.shape(seen)[0], seen.dtype))


def pixel_photometric_loss(pictures, frames, attention):
    """The weighted mean distance of colours, of each frame.

    Args:
      pictures, frames: [N, H, W, 3] sRGB in [0, 1].
      attention: [N, H, W] weights, 0 outside of the face; no gradient flows through them.

    Returns:
      [N]; 0 where the weights sum to less than 1.
    """
    attention = tf.stop_gradient(attention)
    distance = tf.sqrt(tf.reduce_sum(tf.square(pictures - frames), axis=-1) + _EPSILON)
    total = tf.reduce_sum(attention, axis=(1, 2))
    mean = tf.reduce_sum(attention * distance, axis=(1, 2)) / tf.maximum(total, 1.0)
    return tf.where(total >= 1.0, mean, 0.0)
