"""Where the faces of an image are."""

import dataclasses
from typing import Protocol

import cv2
import dlib
import numpy as np


@dataclasses.dataclass(frozen=True)
class FaceBox:
    """A square about a face, px with the origin at the image's outer corner.

    Attributes:
      left, top, width: the square.
      score: the detector's own measure; comparable only within one detector.
    """

    left: float
    top: float
    width: float
    score: float


class FaceDetector(Protocol):
    """Anything that finds faces."""

    def detect(self, image: np.ndarray) -> list[FaceBox]:
        """Finds the faces of an image [H, W, 3] uint8 RGB, in any order; empty if there is none."""


class HogFaceDetector:
    """dlib's frontal face detector (histograms of oriented gradients), to about ±60° of yaw.

    It sees faces whose box (about brows to chin) has 80 px or more, in any larger size. Images are
    brought to a fixed size first, so that time does not grow with the resolution; only one in
    which nothing is found, and that has more to show, is searched again in full.
    """

    def __init__(self, search_size: int = 960):
        """Sets the larger side of the image that is searched, px."""
        self.search_size = search_size
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray) -> list[FaceBox]:
        """See `FaceDetector.detect`."""
        scale = self.search_size / max(image.shape[:2])
        boxes = self._search(image, min(scale, 2.0))
        if not boxes and scale < 1:
            boxes = self._search(image, 1.0)
        return boxes

    def _search(self, image: np.ndarray, scale: float) -> list[FaceBox]:
        if scale != 1:
            height, width = image.shape[:2]
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, size, interpolation=interpolation)
        rectangles, scores, _ = self._detector.run(np.ascontiguousarray(image), 0, 0.0)
        # dlib's rectangles include their last pixel: in our terms they end at right + 1.
        return [
            FaceBox(r.left() / scale, r.top() / scale, r.width() / scale, score)
            for r, score in zip(rectangles, scores, strict=True)
        ]
