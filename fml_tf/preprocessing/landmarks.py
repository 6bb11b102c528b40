"""The 66 landmarks of `docs/conventions.md`, each with a confidence."""

import dataclasses
import pathlib
from typing import Protocol

import cv2
import dlib
import numpy as np

from fml_tf.files.dlib_models import packaged_dlib_model
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.geometry.landmark_order import FROM_68, MIRROR_66
from fml_tf.preprocessing.faces import FaceBox, FaceDetector, HogFaceDetector

_MODEL = "shape_predictor_68_face_landmarks.dat"


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face and its landmarks.

    Attributes:
      box: the face detector's square.
      landmarks: [66, 2] float32 px (u right, v down, outer corner origin), may lie outside.
      confidence: [66] float32 in (0, 1].
    """

    box: FaceBox
    landmarks: np.ndarray
    confidence: np.ndarray


class LandmarkDetector(Protocol):
    """Anything that finds faces with their 66 landmarks."""

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[DetectedFace]:
        """Finds the faces of an image [H, W, 3] uint8 RGB, the largest first; may be empty.

        With `near`, only faces about a square, see `FaceDetector.detect`.
        """

    def read(self, image: np.ndarray, box: FaceBox) -> DetectedFace:
        """Reads the landmarks of what is in a box, as of a face."""


class DlibLandmarkDetector:
    """dlib's ensemble of regression trees, with a confidence from its agreement with itself.

    The trees give no confidence. But the less the image decides, the more their answer depends on
    the box they start from and on the image's handedness. Each face is therefore read from two
    boxes (shifted a little), in the image and in its mirror image. A landmark is
    the mean of its readings, and its confidence is exp(-s / `confidence_scale`) where s is the
    root mean square distance of the readings from that mean, as a share of the box's width.
    Occluded points, and the far contour of a turned head, get less by this;
    `tools/measuring/landmark_confidence.py` measures how well it predicts the error.
    """

    # Shifts (in box widths: right, down) of the boxes that the readings start from. To the left it
    # goes in the mirror.
    _STARTS = ((0.0, 0.06), (0.06, -0.03))
    # The face is scaled to one size first, so that readings, which dlib rounds to whole pixels
    # and takes from single pixels without smoothing, are as fine in a small or huge face.
    _BOX_WIDTH = 256
    _PATCH_WIDTH = 512

    def __init__(
        self,
        face_detector: FaceDetector | None = None,
        confidence_scale: float = 0.03,
        model_path: pathlib.Path | None = None,
    ):
        """Loads the model.

        Args:
          face_detector: finds the boxes; dlib's HOG detector by default.
          confidence_scale: the spread, in box widths, at which confidence is 1/e.
          model_path: a 68 point `dlib.shape_predictor` file; by default the one in the package
            `face_recognition_models`.

        Raises:
          FileNotFoundError: no model file.
        """
        self._face_detector = face_detector or HogFaceDetector()
        self._confidence_scale = confidence_scale
        model_path = model_path or packaged_dlib_model(_MODEL)
        if not model_path.is_file():
            raise FileNotFoundError(f"{model_path}: no such landmark model")
        self._predictor = dlib.shape_predictor(str(model_path))

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[DetectedFace]:
        """See `LandmarkDetector.detect`."""
        boxes = sorted(self._face_detector.detect(image, near), key=lambda box: -box.width)
        return [self.read(image, box) for box in boxes]

    def read(self, image: np.ndarray, box: FaceBox) -> DetectedFace:
        """See `LandmarkDetector.read`."""
        # A detector's boxes come in coarse steps of place and size. The box that a first reading
        # suggests depends on them much less, and the landmarks read from it are better.
        transform, patch = self._patch(image, box)
        centred = _box_about(transform.invert(self._predict(patch, (0.0, 0.0))))
        readings = self._readings(image, centred)
        landmarks = readings.mean(axis=0)
        distances = np.linalg.norm(readings - landmarks, axis=-1)
        spread = np.sqrt((distances**2).mean(axis=0)) / centred.width
        return DetectedFace(
            box,
            landmarks.astype(np.float32),
            np.exp(-spread / self._confidence_scale).astype(np.float32),
        )

    def _readings(self, image: np.ndarray, box: FaceBox) -> np.ndarray:
        """[R, 66, 2] source px, each start read in the image and in its mirror image."""
        transform, patch = self._patch(image, box)
        mirrored = cv2.flip(patch, 1)
        readings = []
        for start in self._STARTS:
            readings.append(self._predict(patch, start))
            reflected = self._predict(mirrored, start)[MIRROR_66]
            readings.append((self._PATCH_WIDTH, 0) + reflected * (-1, 1))
        return transform.invert(np.stack(readings))

    def _patch(self, image: np.ndarray, box: FaceBox) -> tuple[CropTransform, np.ndarray]:
        width = max(1, round(box.width * self._PATCH_WIDTH / self._BOX_WIDTH))
        left, top = np.round(box.centre - width / 2).astype(int)
        transform = CropTransform(left, top, width, self._PATCH_WIDTH)
        return transform, crop_image(image, transform)

    def _predict(self, patch: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
        """[66, 2] px of a patch, read from a box that is shifted (right, down, in its widths)."""
        middle = (self._PATCH_WIDTH - self._BOX_WIDTH) // 2
        left, top = (middle + round(part * self._BOX_WIDTH) for part in shift)
        last = self._BOX_WIDTH - 1
        rectangle = dlib.rectangle(left, top, left + last, top + last)
        points = self._predictor(patch, rectangle).parts()
        # dlib counts pixels by index; in our coordinates their centres lie half a pixel further.
        return np.array([(p.x, p.y) for p in points])[FROM_68] + 0.5


def _box_about(landmarks: np.ndarray) -> FaceBox:
    """Where dlib's face detector puts its square about a face with these landmarks, on average."""
    side = np.ptp(landmarks, axis=0).max()
    left, top = landmarks.mean(axis=0) - (0, 0.05 * side) - 0.52 * side
    return FaceBox(left, top, 1.04 * side, 0.0)
