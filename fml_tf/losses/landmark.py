"""Multi-frame landmark consistency with a sliding contour (paper, section 3.5).

The first landmarks (0-16) lie on the face's contour. What shows as contour depends on the pose,
so those slide: each step takes the candidate vertex nearest to the ray through the detected
point (multi-level face model paper, section 6.1).
"""

import numpy as np
import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import NUM_LANDMARKS

INNER = np.r_[17:27, 30:66]
"""The 46 landmarks of brows, nose tip and base, eyes and mouth."""
NOSE_AND_INNER_MOUTH = np.r_[28:31, 60:66]
"""Landmarks that count more with Deep3D."""


class LandmarkLoss(Loss):
    """`landmark_loss` with the sliding contour of a template; measures `landmark_px`."""

    _factors = np.ones(NUM_LANDMARKS, np.float32)

    def __init__(self, model: FaceReconstructor):
        self._camera = model.camera
        with tf.init_scope():
            self._landmark_vertices = tf.constant(model.template.landmark_vertices)
            self._contour_candidates = tf.constant(model.template.contour_candidates)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        num_people, num_frames = tf.unstack(tf.shape(batch.frame_mask))
        mask = tf.reshape(batch.frame_mask, [-1])
        detected = tf.reshape(batch.landmarks, (-1, *batch.landmarks.shape[2:]))
        confidence = tf.reshape(batch.landmark_confidence, (-1, detected.shape[1]))
        confidence *= self._factors
        indices = slide_contour(
            faces.vertices,
            self._landmark_vertices,
            self._contour_candidates,
            detected,
            self._camera,
        )
        projected = gather_landmarks(faces.positions, indices)
        error = landmark_error_px(projected, detected)
        loss = landmark_loss(projected, detected, confidence, mask, self._camera.width, num_people)
        return LossValue(loss, {"landmark_px": tf.reshape(error, (num_people, num_frames))})


class BaseLandmarkLoss(LandmarkLoss):
    """The same of the base level (multi-level paper, equation (10)): `base_landmark_px`."""

    of_base_level = True

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        value = super().__call__(batch, parameters, faces)
        return LossValue(value.value, {"base_landmark_px": value.measures["landmark_px"]})


class WeightedLandmarkLoss(LandmarkLoss):
    """The same with 20 times the weight of nose and inner mouth (Deep3D, equation (4)).

    Which these are is printed in words; its code takes 28-30 and the whole inner mouth.
    """

    _factors = np.where(np.isin(np.arange(NUM_LANDMARKS), NOSE_AND_INNER_MOUTH), 20.0, 1.0).astype(
        np.float32
    )


class InnerLandmarkLoss(Loss):
    """`landmark_loss` of the landmarks that keep their vertex (MoFA, equation (9)).

    MoFA shows which 46 of the 66 it takes in a picture only. Ours: brows, nose tip and base, eyes
    and mouth; neither the contour, which slides, nor the bridge of the nose, which has no features.
    """

    def __init__(self, model: FaceReconstructor):
        self._camera = model.camera
        with tf.init_scope():
            self._vertices = tf.constant(model.template.landmark_vertices[INNER])

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        mask = tf.reshape(batch.frame_mask, [-1])
        detected = tf.reshape(batch.landmarks, (-1, *batch.landmarks.shape[2:]))
        confidence = tf.reshape(batch.landmark_confidence, (-1, detected.shape[1]))
        projected = tf.transpose(tf.gather(faces.positions, self._vertices), (2, 0, 1))
        return LossValue(
            landmark_loss(
                projected,
                tf.gather(detected, INNER, axis=1),
                tf.gather(confidence, INNER, axis=1),
                mask,
                self._camera.width,
                tf.shape(batch.frame_mask)[0],
            )
        )


def slide_contour(vertices, landmark_vertices, contour_candidates, detected, camera):
    """Picks the vertex that stands for each landmark in each frame.

    A fixed landmark keeps its vertex. A contour landmark takes the candidate with the least
    distance, in 3D, to the line through the camera's centre and the detected point. The choice
    is discrete: no gradient flows through it.

    Args:
      vertices: [V, 3, N] mm, camera space.
      landmark_vertices: [66] int, vertices of the landmarks; those of the first K are not used.
      contour_candidates: [K, C] int, candidate vertices of the first K landmarks (K = 17).
      detected: [N, 66, 2] detected landmarks, crop pixels.
      camera: `PerspectiveCamera` of the crop.

    Returns:
      [N, 66] int32 vertex indices.
    """
    vertices = tf.stop_gradient(vertices)
    landmark_vertices = tf.cast(landmark_vertices, tf.int32)
    contour_candidates = tf.cast(contour_candidates, tf.int32)
    num_contour = contour_candidates.shape[0]
    num_frames = tf.shape(detected)[0]

    contour = tf.cast(detected[:, :num_contour], vertices.dtype)
    x = (contour[..., 0] - camera.width / 2) / camera.focal_length_px
    y = (camera.height / 2 - contour[..., 1]) / camera.focal_length_px
    rays = tf.math.l2_normalize(tf.stack([x, y, -tf.ones_like(x)], axis=-1), axis=-1)
    rays = tf.transpose(rays, [1, 2, 0])[:, tf.newaxis]  # [K, 1, 3, N]

    points = tf.gather(vertices, contour_candidates)  # [K, C, 3, N]
    along = tf.reduce_sum(points * rays, axis=2, keepdims=True)
    squared_distance = tf.reduce_sum(tf.square(points - along * rays), axis=2)
    nearest = tf.argmin(squared_distance, axis=1, output_type=tf.int32)  # [K, N]
    sliding = tf.transpose(tf.gather(contour_candidates, nearest, batch_dims=1))
    fixed = tf.tile(landmark_vertices[tf.newaxis, num_contour:], [num_frames, 1])
    return tf.concat([sliding, fixed], axis=1)


def gather_landmarks(positions, indices):
    """Takes each frame's landmarks out of vertex-major arrays.

    Args:
      positions: [V, D, N] any quantity of the vertices, e.g. crop pixels (D = 2).
      indices: [N, L] int32 vertex of each landmark in each frame.

    Returns:
      [N, L, D].
    """
    dimension, num_frames = positions.shape[1], tf.shape(positions)[2]
    # One flat gather: the frame is an index of the last axis, the vertex of the first.
    frame = tf.range(num_frames)[:, tf.newaxis, tf.newaxis]
    row = indices[:, :, tf.newaxis] * dimension + tf.range(dimension)
    return tf.gather(tf.reshape(positions, [-1]), row * num_frames + frame)


def landmark_loss(projected, detected, confidence, frame_mask, crop_width, num_people):
    """Σ_f Σ_i c_i ‖s_i − u_i‖², positions in crop widths, mean over people.

    Args:
      projected: [N, L, 2] crop pixels, projected landmark vertices u.
      detected: [N, L, 2] crop pixels, s.
      confidence: [N, L], from 0 up; 0 leaves a landmark out whatever its position holds.
      frame_mask: [N] bool; False leaves a frame out.
      crop_width: width of the crop in pixels; the paper gives no unit, this is ours.
      num_people: B, a number or a scalar tensor.

    Returns:
      Scalar: summed over landmarks and frames, divided by B.
    """
    dtype = projected.dtype
    weights = tf.cast(confidence, dtype) * tf.cast(frame_mask, dtype)[:, tf.newaxis]
    difference = (projected - tf.cast(detected, dtype)) / tf.cast(crop_width, dtype)
    difference = tf.where(weights[..., tf.newaxis] > 0, difference, tf.zeros([], dtype))
    total = tf.reduce_sum(weights * tf.reduce_sum(tf.square(difference), axis=-1))
    return total / tf.cast(num_people, dtype)


def landmark_error_px(projected, detected):
    """Landmark error of each frame: the mean distance in pixels, all landmarks weighted equally.

    Args:
      projected: [N, L, 2] crop pixels.
      detected: [N, L, 2] crop pixels.

    Returns:
      [N]; a mean over frames has to leave out the masked ones.
    """
    return tf.reduce_mean(tf.norm(projected - tf.cast(detected, projected.dtype), axis=-1), axis=-1)
