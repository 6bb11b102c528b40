"""The few structures that cross from one room of the package to the next.

Shapes use the letters of `docs/conventions.md`: B people, M frames a person.
"""

import tensorflow as tf

NUM_LANDMARKS = 66
NUM_SH_BANDS = 9


class MultiFrameBatch(tf.experimental.ExtensionType):
    """Frames of B people, M frames each (paper, section 3.1).

    Attributes:
      frames: [B, M, H, W, 3] float32, sRGB in [0, 1].
      frame_mask: [B, M] bool; False where a person has fewer than M frames.
      landmarks: [B, M, 66, 2] float32, crop pixels (u right, v down, outer corner origin).
      landmark_confidence: [B, M, 66] float32 in [0, 1]; 0 leaves a landmark out of the loss.
    """

    frames: tf.Tensor
    frame_mask: tf.Tensor
    landmarks: tf.Tensor
    landmark_confidence: tf.Tensor


class FaceParameters(tf.experimental.ExtensionType):
    """All that the networks regress: identity once a person, the rest once a frame.

    Attributes:
      shape: [B, g] float32, α of equation (2).
      albedo: [B, |β|] float32, β of equation (6).
      rotation: [B, M, 3] float32, rotation vector, radian.
      translation: [B, M, 3] float32, mm in camera space.
      expression: [B, M, b] float32, δ of equation (3), coefficients of the expression basis.
      illumination: [B, M, 9, 3] float32, γ of equation (7).
    """

    shape: tf.Tensor
    albedo: tf.Tensor
    rotation: tf.Tensor
    translation: tf.Tensor
    expression: tf.Tensor
    illumination: tf.Tensor


PARAMETERS = tuple(FaceParameters.__annotations__)
"""Names of the fields of `FaceParameters`, in order."""


class DecodedFaces(tf.experimental.ExtensionType):
    """What the face model and the image formation make of `FaceParameters`; vertex-major, N = B·M.

    Attributes:
      identity_vertices: [V, 3, B] mm, model space, neutral expression.
      albedo: [V, 3, B] sRGB.
      vertices: [V, 3, N] mm, camera space, with expression.
      normals: [V, 3, N] unit length, camera space.
      positions: [V, 2, N] crop pixels.
      colours: [V, 3, N] shaded colours, equation (7).
      visible: [V, N] bool: faces the camera and projects inside the crop.
      node_displacements: [G, 3, B] displacement of the graph's nodes from their mean, in
        `length_unit_mm`.
    """

    identity_vertices: tf.Tensor
    albedo: tf.Tensor
    vertices: tf.Tensor
    normals: tf.Tensor
    positions: tf.Tensor
    colours: tf.Tensor
    visible: tf.Tensor
    node_displacements: tf.Tensor
