"""Where a video jumps from one shot to another."""

import cv2
import numpy as np

# Of frames at most this far apart (seconds), the thresholds below were found on.
LONGEST_STEP = 0.13
_THUMBNAIL = 32
# Colours stay in a shot however people and camera move, and shapes however its light changes: over
# 0.13 s the clips at hand change at most 0.12 in colour, and correlate with 0.74 or more. Between
# shots it was 0.34 or more and 0.72 or less. A flash or a whip pan counts as a cut too.
_LARGEST_COLOUR_CHANGE = 0.22
_LEAST_CORRELATION = 0.6


class CutDetector:
    """Compares each frame of a video with the one before, by thumbnails."""

    def __init__(self):
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether another shot begins with this image [H, W, 3] uint8; False for the first."""
        thumbnail = _thumbnail(image)
        colours, shapes = _colours(thumbnail), _shapes(thumbnail)
        last, self._last = self._last, (colours, shapes)
        if last is None:
            return False
        colour_change = 1 - np.minimum(colours, last[0]).sum()
        correlation = shapes @ last[1]
        return bool(colour_change > _LARGEST_COLOUR_CHANGE or correlation < _LEAST_CORRELATION)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    stride = max(1, min(image.shape[:2]) // (4 * _THUMBNAIL))  # a little aliasing does no harm
    size = (_THUMBNAIL, _THUMBNAIL)
    return cv2.resize(image[::stride, ::stride], size, interpolation=cv2.INTER_AREA)


def _colours(thumbnail: np.ndarray) -> np.ndarray:
    """Shares of the thumbnail's pixels in each cell of colour space, [512]."""
    cells = cv2.calcHist([thumbnail], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
    return cells.ravel() / cells.sum()


def _shapes(thumbnail: np.ndarray) -> np.ndarray:
    """The thumbnail's brightness as a unit vector about its mean, so that products correlate."""
    brightness = thumbnail.mean(axis=-1).ravel()
    brightness -= brightness.mean()
    return brightness / max(np.linalg.norm(brightness), 1e-6)
