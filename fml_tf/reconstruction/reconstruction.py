"""From crops of one person to that person's face: one identity, and each frame's own parameters."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, prepare_image
from fml_tf.reconstruction.inputs import (
    FaceFrames,
    Source,
    VideoScan,
    choose_identity_frames,
    cut_frames,
    is_video,
    prepare_photos,
    scan_video,
)
from fml_tf.structures import DecodedFaces, FaceParameters


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """One person's face from M frames.

    Attributes:
      frames: what it was made from.
      parameters: B = 1 person, M frames.
      faces: the parameters decoded; B = 1, N = M.
      scan: of a video, where the face is in all of its frames.
    """

    frames: FaceFrames
    parameters: FaceParameters
    faces: DecodedFaces
    scan: VideoScan | None = None


def reconstruct(
    source: Source,
    model: FaceReconstructor,
    *,
    num_frames: int = 8,
    max_frames: int = 0,
    min_face_size: int = 100,
    min_confidence: float = CropSettings.min_confidence,
    detector: LandmarkDetector | None = None,
) -> Reconstruction:
    """Reconstructs one person's face from photos or a video.

    Args:
      source: a photo, as a path or as [H, W, 3] uint8 RGB; several of them; or the path of a
        folder of photos or of a video. All show one person.
      model: of `load_model`.
      num_frames: frames of a video, chosen for diverse head poses, that the identity is made from.
      max_frames: use at most this many photos, or frames from the start of a video; 0 uses all.
      min_face_size: least width of a face's crop (the face and some margin) in the image, px.
      min_confidence: least mean confidence of a face's landmarks.
      detector: finds faces and landmarks; that of `make_landmark_detector()`, if not given.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: an image or a video that cannot be read, or no usable face.
    """
    prepare = functools.partial(
        prepare_image,
        detector=detector or make_landmark_detector(),
        template_landmarks=model.template.mean_shape[model.template.landmark_vertices],
        settings=CropSettings.of_model(model.config, min_face_size, min_confidence),
    )
    if isinstance(source, str | os.PathLike) and is_video(source):
        scan = scan_video(source, prepare, max_frames)
        frames = cut_frames(scan, choose_identity_frames(scan, num_frames))
        return dataclasses.replace(reconstruct_frames(model, frames), scan=scan)
    return reconstruct_frames(model, prepare_photos(source, prepare, max_frames))


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
