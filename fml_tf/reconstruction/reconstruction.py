"""From crops of one person to that person's face: one identity, and each frame's own parameters."""

import dataclasses

import numpy as np
import tensorflow as tf

from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.reconstruction.inputs import FaceFrames
from fml_tf.structures import DecodedFaces, FaceParameters


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """One person's face from M frames.

    Attributes:
      frames: what it was made from.
      parameters: B = 1 person, M frames.
      faces: the parameters decoded; B = 1, N = M.
    """

    frames: FaceFrames
    parameters: FaceParameters
    faces: DecodedFaces


def reconstruct_frames(model: FaceReconstructor, frames: FaceFrames) -> Reconstruction:
    """Pools the identity over all frames and regresses pose, expression and light of each."""
    batch = _to_batch(frames.crops)
    parameters = model.encode(batch, tf.ones(batch.shape[:2], tf.bool))
    return Reconstruction(frames, parameters, model.decode(parameters))


def follow_frames(
    model: FaceReconstructor, identity_crops: np.ndarray, crops: np.ndarray
) -> FaceParameters:
    """Regresses pose, expression and light of frames under the identity of others.

    The frames go through the network beside those of the identity, but masked, so that the pooled
    identity does not see them: it stays the same over a video however it is cut into pieces.

    Args:
      model: the model.
      identity_crops: [M, S, S, 3] uint8 RGB, the frames that the identity is pooled over.
      crops: [N, S, S, 3] uint8 RGB.

    Returns:
      Parameters of B = 1 person and the N frames of `crops`.
    """
    num_identity = len(identity_crops)
    batch = _to_batch(np.concatenate([identity_crops, crops]))
    of_identity = tf.range(batch.shape[1])[None] < num_identity
    parameters = model.encode(batch, of_identity)
    return parameters.map_frames(lambda values: values[:, num_identity:])


def _to_batch(crops: np.ndarray) -> tf.Tensor:
    return tf.constant(crops[None], tf.float32) / 255.0
