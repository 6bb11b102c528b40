"""From an image to the crop, landmarks and head pose of its largest face."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fml_tf.config import ModelConfig
from fml_tf.geometry.crop import (
    DEFAULT_MARGIN,
    DEFAULT_SIZE,
    CropTransform,
    crop_box,
    crop_image,
)
from fml_tf.preprocessing.face_mesh import DenseFace
from fml_tf.preprocessing.head_pose import HeadPose, head_pose
from fml_tf.preprocessing.landmarks import DetectedFace, LandmarkDetector


class FaceError(ValueError):
    """An image from which no face can be prepared; the message is one line.

    Attributes:
      reason: a few words, the same for all errors of a class, to count them by.
    """

    reason: str


class NoFaceError(FaceError):
    """No face was found."""

    reason = "no face"


class SmallFaceError(FaceError):
    """The crop of the largest face is too small."""

    reason = "face too small"


class UncertainFaceError(FaceError):
    """No face has landmarks that can be trusted (covered, blurred, or no face after all)."""

    reason = "uncertain landmarks"


@dataclasses.dataclass(frozen=True)
class CropSettings:
    """How faces are cropped.

    Attributes:
      margin: side of the crop over the larger side of the landmarks' bounding box.
      size: side of the crop after resampling, px.
      min_width: least side of the crop before resampling, source px (paper, section 3.1: 200).
      min_confidence: least mean confidence of the landmarks. Ours; the paper gives no number.
      focal_length: in crop widths, of the camera that the head pose is for.
    """

    margin: float = DEFAULT_MARGIN
    size: int = DEFAULT_SIZE
    min_width: int = 200
    min_confidence: float = 0.5
    focal_length: float = 4.5

    @classmethod
    def of_model(cls, config: ModelConfig, min_width: int, min_confidence: float) -> "CropSettings":
        """The crops that a model takes, with the given thresholds."""
        return cls(
            config.crop_margin, config.crop_size, min_width, min_confidence, config.focal_length
        )


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A face, ready for the network.

    Attributes:
      crop: [size, size, 3] uint8 RGB.
      landmarks: [66, 2] float32 crop px.
      confidence: [66] float32 in (0, 1].
      transform: from source to crop px.
      pose: of the mean face.
      dense: [468, 4] float32 of a detector's dense points: u, v and the depth behind the mean of
        the points, crop px, and confidence; None where it has none.
    """

    crop: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    transform: CropTransform
    pose: HeadPose
    dense: np.ndarray | None = None


def find_face(
    image: np.ndarray, detector: LandmarkDetector, settings: CropSettings = CropSettings()
) -> tuple[DetectedFace, CropTransform]:
    """Finds the largest certain face of an image and places its crop (paper, section 3.1).

    Args:
      image: [H, W, 3] uint8 RGB.
      detector: finds faces and landmarks; `DlibLandmarkDetector` unless you have a better one.
      settings: crop and thresholds.

    Raises:
      NoFaceError, SmallFaceError, UncertainFaceError: all `FaceError`s, with the figures.
    """
    face = certain_faces(detector.detect(image), settings.min_confidence)[0]
    return face, place_crop(face, settings)


def certain_faces(faces: Sequence[DetectedFace], min_confidence: float) -> list[DetectedFace]:
    """The faces whose landmarks can be trusted, in the order given; at least one.

    What is no face now and then looks like one, but its landmarks agree on nothing.

    Raises:
      NoFaceError: there is no face.
      UncertainFaceError: none of the faces is certain.
    """
    if not faces:
        raise NoFaceError("no face was found")
    certain = [face for face in faces if face.confidence.mean() >= min_confidence]
    if not certain:
        highest = max(float(face.confidence.mean()) for face in faces)
        raise UncertainFaceError(
            f"the landmarks are uncertain: mean confidence {highest:.2f},"
            f" less than {min_confidence}"
        )
    return certain


def place_crop(face: DetectedFace, settings: CropSettings) -> CropTransform:
    """Places a face's crop.

    Raises:
      SmallFaceError: it has fewer source pixels than `settings.min_width`.
    """
    transform = crop_box(face.landmarks, settings.margin, settings.size)
    if transform.source_width < settings.min_width:
        raise SmallFaceError(
            f"the face is too small: its crop has {transform.source_width} px,"
            f" fewer than {settings.min_width}"
        )
    return transform


def prepare_image(
    image: np.ndarray,
    detector: LandmarkDetector,
    template_landmarks: np.ndarray,
    settings: CropSettings = CropSettings(),
) -> PreparedFrame:
    """Finds, crops and poses the largest certain face of an image (paper, section 3.1).

    Args:
      image: [H, W, 3] uint8 RGB.
      detector: finds faces and landmarks; `DlibLandmarkDetector` unless you have a better one.
      template_landmarks: [66, 3] mm, model space: `mean_shape[landmark_vertices]` of a template.
      settings: crop and thresholds.

    Raises:
      NoFaceError, SmallFaceError, UncertainFaceError: all `FaceError`s, with the figures.
    """
    face, _ = find_face(image, detector, settings)
    return prepare_face(image, face, template_landmarks, settings)


def dense_evidence(face: DenseFace, transform: CropTransform) -> np.ndarray:
    """A face's dense points in a crop, as `PreparedFrame.dense`."""
    columns = (
        transform.apply(face.dense[:, :2]),
        transform.scale * face.dense[:, 2:],
        face.dense_confidence[:, None],
    )
    return np.concatenate(columns, axis=1, dtype=np.float32)


def prepare_face(
    image: np.ndarray,
    face: DetectedFace,
    template_landmarks: np.ndarray,
    settings: CropSettings = CropSettings(),
) -> PreparedFrame:
    """Crops and poses a face that was found in an image; arguments as of `prepare_image`.

    Raises:
      SmallFaceError: its crop is too small.
    """
    transform = place_crop(face, settings)
    landmarks = transform.apply(face.landmarks).astype(np.float32)
    dense = None
    if isinstance(face, DenseFace):
        dense = dense_evidence(face, transform)
    return PreparedFrame(
        crop=crop_image(image, transform),
        landmarks=landmarks,
        confidence=face.confidence,
        transform=transform,
        pose=head_pose(landmarks, template_landmarks, settings.focal_length, settings.size),
        dense=dense,
    )
