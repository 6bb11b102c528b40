"""Square crops about a face and the map between source and crop pixels.

Pixel positions are (u right, v down) with the origin at the outer corner of the top-left pixel
(`docs/conventions.md`), in the source as in the crop.
"""

import dataclasses

import cv2
import numpy as np

DEFAULT_SIZE = 240
DEFAULT_MARGIN = 1.5
# The topmost landmarks are the brows, yet the forehead belongs to the face: the crop's centre lies
# this share of the landmarks' larger side above the centre of their bounding box.
UPWARD_SHIFT = 0.1
# Side of a square, px, that is not made before it is shrunk.
_LARGEST_SQUARE = 8192


@dataclasses.dataclass(frozen=True)
class CropTransform:
    """Where a square crop lies in its source image.

    The square is a whole number of source pixels at a whole pixel, so that resampling is a plain
    resize and the map below is exact. It may reach over the image's border.

    Attributes:
      left, top: the square's top-left corner, source px.
      source_width: side of the square, source px.
      size: side of the crop, crop px.
    """

    left: int
    top: int
    source_width: int
    size: int

    @property
    def scale(self) -> float:
        """Crop pixels a source pixel."""
        return self.size / self.source_width

    @property
    def matrix(self) -> np.ndarray:
        """[2, 3] float64 affine map: crop = matrix @ (u, v, 1) of the source."""
        return self.scale * np.array([[1.0, 0.0, -self.left], [0.0, 1.0, -self.top]])

    def overlaps(self, image: np.ndarray) -> bool:
        """Whether any part of the square lies in a source image [H, W, ...]."""
        height, width = image.shape[:2]
        right, bottom = self.left + self.source_width, self.top + self.source_width
        return self.left < width and self.top < height and right > 0 and bottom > 0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Maps points [..., 2] from source px to crop px."""
        return (np.asarray(points) - (self.left, self.top)) * self.scale

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Maps points [..., 2] from crop px to source px."""
        return np.asarray(points) / self.scale + (self.left, self.top)


def crop_box(
    landmarks: np.ndarray, margin: float = DEFAULT_MARGIN, size: int = DEFAULT_SIZE
) -> CropTransform:
    """Places a square crop about a face's landmarks (paper, section 3.1; the numbers are ours).

    Args:
      landmarks: [P, 2] source px.
      margin: side of the square over the larger side of the landmarks' bounding box. The default
        leaves 0.35 of that side above the brows and 0.15 below the chin of an upright face.
      size: side of the crop, px.

    Raises:
      ValueError: landmarks that are not finite, or all in one place.
    """
    landmarks = np.asarray(landmarks, np.float64)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = (high - low).max()
    if not (np.isfinite(side) and side > 0):
        raise ValueError(f"landmarks: cannot crop about a bounding box from {low} to {high}")
    width = max(1, round(float(side * margin)))
    centre = (low + high) / 2 - (0, UPWARD_SHIFT * side)
    left, top = np.round(centre - width / 2).astype(int)
    return CropTransform(int(left), int(top), width, size)


def crop_image(image: np.ndarray, transform: CropTransform) -> np.ndarray:
    """Cuts a crop out of an image [H, W, C]: [size, size, C] of the same dtype.

    Shrinking averages over the area of each crop pixel (no aliasing), growing interpolates
    bilinearly. Beyond the image its border is repeated.

    Raises:
      ValueError: the square lies wholly outside the image.
    """
    height, width = image.shape[:2]
    left, top = transform.left, transform.top
    right, bottom = left + transform.source_width, top + transform.source_width
    if not transform.overlaps(image):
        raise ValueError(f"{transform} lies outside the image of {width} x {height} px")
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    borders = np.maximum((-top, bottom - height, -left, right - width), 0)
    if transform.source_width > _LARGEST_SQUARE and transform.scale < 1:
        # A strip as long as that would grow to a square of gigabytes: it is shrunk before.
        borders = np.int64(np.round(borders * transform.scale))
        borders[::2] = np.minimum(borders[::2], transform.size - 1)
        borders[1::2] = np.minimum(borders[1::2], transform.size - 1 - borders[::2])
        rows, columns = transform.size - borders.reshape(2, 2).sum(axis=1)
        inside = cv2.resize(inside, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
        inside = inside.reshape(rows, columns, *image.shape[2:])
    square = cv2.copyMakeBorder(inside, *borders.tolist(), cv2.BORDER_REPLICATE)
    interpolation = cv2.INTER_AREA if transform.scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(square, (transform.size, transform.size), interpolation=interpolation)
