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
from fml_tf.refinement.refiner import METHODS, RefinementSettings, Refiner
from fml_tf.structures import DecodedFaces, FaceParameters

REFINEMENTS = ("none", *METHODS)
"""What the network's answer can be refined by."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """One person's face from M frames.

    Attributes:
      frames: what it was made from.
      parameters: B = 1 person, M frames.
      faces: the parameters decoded; B = 1, N = M.
      scan: of a video, where the face is in all of its frames.
      energy: of a refined answer, before and after each step; see `Refinement`.
    """

    frames: FaceFrames
    parameters: FaceParameters
    faces: DecodedFaces
    scan: VideoScan | None = None
    energy: tuple[float, ...] = ()


def reconstruct(
    source: Source,
    model: FaceReconstructor,
    *,
    num_frames: int = 8,
    max_frames: int = 0,
    min_face_size: int = 100,
    min_confidence: float = CropSettings.min_confidence,
    detector: LandmarkDetector | None = None,
    refine: str | None = None,
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
      refine: of `REFINEMENTS`; if not given "photometric" where the model can be refined.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: an image or a video that cannot be read, no usable face, or a model that cannot
        be refined.
    """
    refiner = make_refiner(model, refine)
    prepare = functools.partial(
        prepare_image,
        detector=detector or make_landmark_detector(),
        template_landmarks=model.template.mean_shape[model.template.landmark_vertices],
        settings=CropSettings.of_model(model.config, min_face_size, min_confidence),
    )
    if isinstance(source, str | os.PathLike) and is_video(source):
        scan = scan_video(source, prepare, max_frames)
        frames = cut_frames(scan, choose_identity_frames(scan, num_frames))
        return dataclasses.replace(reconstruct_frames(model, frames, refiner), scan=scan)
    return reconstruct_frames(model, prepare_photos(source, prepare, max_frames), refiner)


def make_refiner(model: FaceReconstructor, method: str | None = None) -> Refiner | None:
    """What `reconstruct(refine=method)` refines with; None for nothing.

    Raises:
      ValueError: no such method, or the model does not say how far to trust its answers.
    """
    if method is None:
        method = "none" if model.prior is None else "photometric"
    if method not in REFINEMENTS:
        raise ValueError(f"refine={method}: no such method; there are {', '.join(REFINEMENTS)}")
    if method == "none":
        return None
    if model.prior is None:
        raise ValueError(
            f"refine={method}: the model does not say how far to trust its answers; train it on "
            "synthetic_faces, or give none"
        )
    return Refiner(model, model.prior, RefinementSettings(method=method))


def reconstruct_frames(
    model: FaceReconstructor, frames: FaceFrames, refiner: Refiner | None = None
) -> Reconstruction:
    """Pools the identity over all frames and regresses pose, expression and light of each.

    Then refines all of it, if there is a refiner.
    """
    batch = _to_batch(frames.crops)
    parameters = model.encode(batch, tf.ones(batch.shape[:2], tf.bool))
    energy = ()
    if refiner is not None:
        refinement = refiner.refine(
            batch[0].numpy(), frames.landmarks, frames.confidence, parameters, frames.dense
        )
        parameters, energy = refinement.parameters, refinement.energy
    return Reconstruction(frames, parameters, model.decode(parameters), energy=energy)


class Follower:
    """Pose, expression and light of further frames, under the identity of a reconstruction.

    Args:
      model: the model.
      face: whose identity the frames have.
      refiner: what `face` was refined with; None for nothing.
    """

    def __init__(
        self, model: FaceReconstructor, face: Reconstruction, refiner: Refiner | None = None
    ):
        self._model, self._face, self._refiner = model, face, refiner
        self._before = None

    def follow(
        self,
        crops: np.ndarray,
        landmarks: np.ndarray,
        confidence: np.ndarray,
        dense: np.ndarray | None = None,
    ) -> FaceParameters:
        """Regresses the next frames, and refines them with the identity held.

        They go through the network beside the frames that the identity is pooled over, but masked,
        so that the pooled identity does not see them: it stays the same over a video however it is
        cut into pieces.

        Args:
          crops: [N, S, S, 3] uint8 RGB.
          landmarks: [N, 66, 2] crop px.
          confidence: [N, 66].
          dense: [N, 468, 4], see `FaceFrames`.

        Returns:
          Parameters of B = 1 person and the N frames.
        """
        of_identity = self._face.frames.crops
        count = len(of_identity)
        batch = _to_batch(np.concatenate([of_identity, crops]))
        pooled = tf.range(batch.shape[1])[None] < count
        parameters = self._model.encode(batch, pooled).map_frames(lambda values: values[:, count:])
        if self._refiner is None:
            return parameters
        answer = FaceParameters(identity=self._face.parameters.identity, frame=parameters.frame)
        frames = batch[0, count:].numpy()
        refined = self._refiner.follow(frames, landmarks, confidence, answer, dense, self._before)
        self._before = refined.map_frames(lambda values: values[:, -1:])
        return refined


def _to_batch(crops: np.ndarray) -> tf.Tensor:
    return tf.constant(crops[None], tf.float32) / 255.0
