"""The few structures that cross from one room of the package to the next.

Shapes use the letters of `docs/conventions.md`: B people, M frames per person, N = B·M.
"""

import typing
from collections.abc import Callable

import tensorflow as tf

NUM_LANDMARKS = 66
NUM_SH_BANDS = 9


class GroundTruth(tf.experimental.ExtensionType):
    """What is known of synthetic people, as their crops show them; 0 in masked frames.

    V counts the vertices of the open template's coarsest level, which come first at every level.

    Attributes:
      neutral_shape: [B, V, 3] float32 mm, model space.
      albedo: [B, V, 3] float32, sRGB in [0, 1].
      blendshape_activations: [B, M, K] float32, coefficients of the template's blendshapes.
      rotation: [B, M, 3] float32 rotation vectors, radian, in the camera of each crop.
      positions: [B, M, V, 2] float32, projections of the posed vertices, crop pixels.
      illumination: [B, M, 9, 3] float32 spherical harmonics in the camera of each crop.
    """

    neutral_shape: tf.Tensor
    albedo: tf.Tensor
    blendshape_activations: tf.Tensor
    rotation: tf.Tensor
    positions: tf.Tensor
    illumination: tf.Tensor


class MultiFrameBatch(tf.experimental.ExtensionType):
    """Frames of B people, M frames each (paper, section 3.1).

    Attributes:
      frames: [B, M, H, W, 3] float32, sRGB in [0, 1].
      frame_mask: [B, M] bool; False where a person has fewer than M frames.
      landmarks: [B, M, 66, 2] float32, crop pixels (u right, v down, outer corner origin).
      landmark_confidence: [B, M, 66] float32 in [0, 1]; 0 leaves a landmark out of the loss.
      truth: of synthetic people, where a loss or a measure asks for it.
      pool_mask: [B, M] bool; the frames of `frame_mask` that the identity is to be pooled over, at
        least one per person; None for all of them.
    """

    frames: tf.Tensor
    frame_mask: tf.Tensor
    landmarks: tf.Tensor
    landmark_confidence: tf.Tensor
    # Extension types do not know `GroundTruth | None`.
    truth: typing.Optional[GroundTruth] = None  # noqa: UP045
    pool_mask: typing.Optional[tf.Tensor] = None  # noqa: UP045

    @property
    def pooled(self) -> tf.Tensor:
        """[B, M] bool, the frames that the identity is pooled over."""
        return self.frame_mask if self.pool_mask is None else self.pool_mask

    def by_frame(self) -> "MultiFrameBatch":
        """The same frames as B·M people of one frame each; one that is masked has none."""

        def split(values):
            num_people, num_frames = values.shape[:2]
            if num_people is None or num_frames is None:
                return tf.reshape(values, (-1, 1, *values.shape[2:]))
            return tf.reshape(values, (num_people * num_frames, 1, *values.shape[2:]))

        truth = self.truth
        if truth is not None:
            num_frames = tf.shape(self.frame_mask)[1]
            truth = GroundTruth(
                neutral_shape=tf.repeat(truth.neutral_shape, num_frames, axis=0),
                albedo=tf.repeat(truth.albedo, num_frames, axis=0),
                blendshape_activations=split(truth.blendshape_activations),
                rotation=split(truth.rotation),
                positions=split(truth.positions),
                illumination=split(truth.illumination),
            )
        return MultiFrameBatch(
            frames=split(self.frames),
            frame_mask=split(self.frame_mask),
            landmarks=split(self.landmarks),
            landmark_confidence=split(self.landmark_confidence),
            truth=truth,
        )


class FaceParameters(tf.experimental.ExtensionType):
    """All that an encoder regresses; what there is depends on the face model.

    Attributes:
      identity: [B, size] float32 each, once per person: `shape` (α of equation (2)) and `albedo` (β
        of equation (6)), and whatever else a face model calls its own.
      frame: float32, once per frame: `rotation` [B, M, 3], rotation vectors, radian; `translation`
        [B, M, 3] mm in camera space; `expression` [B, M, b], δ of equation (3), coefficients of
        the expression basis; `illumination` [B, M, 9, 3], γ of equation (7).
    """

    identity: typing.Mapping[str, tf.Tensor]
    frame: typing.Mapping[str, tf.Tensor]

    @property
    def rotation(self) -> tf.Tensor:
        """[B, M, 3]."""
        return self.frame["rotation"]

    @property
    def translation(self) -> tf.Tensor:
        """[B, M, 3] mm."""
        return self.frame["translation"]

    @property
    def expression(self) -> tf.Tensor:
        """[B, M, b]."""
        return self.frame["expression"]

    @property
    def illumination(self) -> tf.Tensor:
        """[B, M, 9, 3]."""
        return self.frame["illumination"]

    def by_name(self) -> dict[str, tf.Tensor]:
        """All parameters, those of the identity first."""
        return {**self.identity, **self.frame}

    def map_frames(self, function: Callable[[tf.Tensor], tf.Tensor]) -> "FaceParameters":
        """The same people with `function` applied to each of the frames' parameters."""
        frame = {name: function(values) for name, values in self.frame.items()}
        return FaceParameters(identity=self.identity, frame=frame)

    def map_identity(self, function: Callable[[tf.Tensor], tf.Tensor]) -> "FaceParameters":
        """The same frames with `function` applied to each of the identity's parameters."""
        identity = {name: function(values) for name, values in self.identity.items()}
        return FaceParameters(identity=identity, frame=self.frame)


class Identity(tf.experimental.ExtensionType):
    """What a face model makes of the identity's parameters; vertex-major.

    Attributes:
      neutral_vertices: [V, 3, B] mm, model space, neutral expression.
      albedo: [V, 3, B] sRGB.
      extras: what the face model's own regularisers read, by name.
    """

    neutral_vertices: tf.Tensor
    albedo: tf.Tensor
    extras: typing.Mapping[str, tf.Tensor] = {}


class DecodedFaces(tf.experimental.ExtensionType):
    """What face model and image formation make of `FaceParameters`; vertex-major, N = B·M.

    Attributes:
      identity: the people without expression.
      displacements: [V, 3, N] mm, model space: the expression's.
      vertices: [V, 3, N] mm, camera space, with expression.
      normals: [V, 3, N] unit length, camera space.
      positions: [V, 2, N] crop pixels.
      colours: [V, 3, N] shaded colours, equation (7).
      visible: [V, N] bool: faces the camera and projects inside the crop.
    """

    identity: Identity
    displacements: tf.Tensor
    vertices: tf.Tensor
    normals: tf.Tensor
    positions: tf.Tensor
    colours: tf.Tensor
    visible: tf.Tensor
