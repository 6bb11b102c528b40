"""Where a video jumps to another shot, or a face to another person's.

By thumbnails: their colours stay whoever moves, their shapes stay however the light changes.
"""

import cv2
import numpy as np

# Of frames at most this far apart (seconds) a `CutDetector` tells cuts from motion. Over that time
# the clips at hand changed at most 0.12 in colour and correlated with 0.74 or more; from one shot
# to another it was 0.34 or more and 0.72 or less. A flash or a whip pan counts as a cut too.
LONGEST_STEP = 0.13
_LARGEST_CHANGE = 0.22
_LEAST_CORRELATION = 0.6
_SIZE = 32


class CutDetector:
    """Compares each frame of a video with the one before."""

    def __init__(self):
        self._last: tuple[tuple[int, ...], np.ndarray, np.ndarray] | None = None

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether another shot begins with this image [H, W, 3] uint8; False for the first.

        One of another size is another shot's: what was found in the last has no place in it.
        """
        stride = max(1, min(image.shape[:2]) // (4 * _SIZE))  # a little aliasing does no harm
        thumbnail = cv2.resize(
            image[::stride, ::stride], (_SIZE, _SIZE), interpolation=cv2.INTER_AREA
        )
        colours, shapes = colour_shares(thumbnail), _shapes(thumbnail)
        last, self._last = self._last, (image.shape, colours, shapes)
        if last is None:
            return False
        return bool(
            image.shape != last[0]
            or colour_change(colours, last[1]) > _LARGEST_CHANGE
            or shapes @ last[2] < _LEAST_CORRELATION
        )


def colour_shares(thumbnail: np.ndarray) -> np.ndarray:
    """Shares of the pixels of [h, w, 3] uint8 in each of 8×8×8 cells of RGB: [512]."""
    cells = cv2.calcHist([thumbnail], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
    return cells.ravel() / cells.sum()


def colour_change(a: np.ndarray, b: np.ndarray) -> float:
    """How much of the area has changed its colour, 0 to 1, by `colour_shares`."""
    return float(1 - np.minimum(a, b).sum())


def _shapes(thumbnail: np.ndarray) -> np.ndarray:
    """The thumbnail's brightness as a unit vector about its mean, so that products correlate."""
    brightness = thumbnail.mean(axis=-1).ravel()
    brightness -= brightness.mean()
    return brightness / max(np.linalg.norm(brightness), 1e-6)
