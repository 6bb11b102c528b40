"""Where the faces of an image are."""

import dataclasses
from typing import Protocol

import cv2
import dlib
import numpy as np

from fml_tf.geometry.crop import CropTransform, crop_image


@dataclasses.dataclass(frozen=True)
class FaceBox:
    """A square about a face, px with the origin at the image's outer corner.

    Attributes:
      left, top, width: the square.
      score: the detector's own measure; comparable only within one detector.
      roll: how far the face leans to the right in the picture, radian; 0 where the detector cannot
        tell.
    """

    left: float
    top: float
    width: float
    score: float
    roll: float = 0.0

    @property
    def centre(self) -> np.ndarray:
        """[2] px."""
        return np.array([self.left, self.top]) + self.width / 2

    def scaled(self, factor: float) -> "FaceBox":
        """The square about the same centre, `factor` times as wide."""
        left, top = self.centre - factor * self.width / 2
        return FaceBox(left, top, factor * self.width, self.score, self.roll)

    def holds(self, point: np.ndarray) -> bool:
        """Whether a point [2] px lies in the square."""
        return bool((np.abs(point - self.centre) <= self.width / 2).all())


class FaceDetector(Protocol):
    """Anything that finds faces."""

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[FaceBox]:
        """Finds the faces of an image [H, W, 3] uint8 RGB, in any order; empty if there is none.

        With `near`, only faces whose centre lies in that square, and at least those that are 0.6
        to once as wide as it is; that should take much less time.
        """


class HogFaceDetector:
    """dlib's frontal face detector (histograms of oriented gradients), to about ±60° of yaw.

    It sees faces whose box (about brows to chin) has 80 px or more, in any larger size. Large
    images are reduced to a fixed size first, so that time does not grow with the resolution; one
    in which nothing is found is searched again in full, or a small one enlarged.
    """

    # The last place of a face is searched in a square 1.5 times as wide: the face has 96 px there.
    _NEAR_WIDTH = 144
    # The neighbourhood that is cut out, in widths of that square: half of a face about a centre at
    # its rim.
    _NEIGHBOURHOOD = 1.5

    def __init__(self, search_size: int = 960):
        """Sets the larger side of the image that is searched, px."""
        self.search_size = search_size
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[FaceBox]:
        """See `FaceDetector.detect`."""
        if near is not None:
            return [box for box in self._search_near(image, near) if near.holds(box.centre)]
        scale = self.search_size / max(image.shape[:2])
        return self._search_whole(image, min(scale, 1.0)) or self._search_whole(
            image, 1.0 if scale < 1 else min(scale, 2.0)
        )

    def _search_near(self, image: np.ndarray, near: FaceBox) -> list[FaceBox]:
        square = near.scaled(self._NEIGHBOURHOOD)
        left, top, width = round(square.left), round(square.top), max(1, round(square.width))
        transform = CropTransform(left, top, width, round(self._NEIGHBOURHOOD * self._NEAR_WIDTH))
        if not transform.overlaps(image):
            return []
        boxes = self._search(crop_image(image, transform))
        return [
            FaceBox(*transform.invert((box.left, box.top)), box.width / transform.scale, box.score)
            for box in boxes
        ]

    def _search_whole(self, image: np.ndarray, scale: float) -> list[FaceBox]:
        if scale != 1:
            height, width = image.shape[:2]
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, size, interpolation=interpolation)
        return [
            FaceBox(box.left / scale, box.top / scale, box.width / scale, box.score)
            for box in self._search(image)
        ]

    def _search(self, image: np.ndarray) -> list[FaceBox]:
        rectangles, scores, _ = self._detector.run(np.ascontiguousarray(image), 0, 0.0)
        # dlib's rectangles include their last pixel, as its width() knows.
        return [
            FaceBox(r.left(), r.top(), r.width(), score)
            for r, score in zip(rectangles, scores, strict=True)
        ]
