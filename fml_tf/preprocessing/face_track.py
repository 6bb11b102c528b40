"""Where one person's face is in a video, as data sets of videos give it."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTrack:
    """A person's face in a stretch of a video; between the times given it moves evenly.

    Fractions of the frame do not depend on the resolution in which a video was obtained.

    Attributes:
      seconds: [n] float64, increasing, since the start of the video.
      boxes: [n, 4] float32, left, top, width and height as fractions of the upright frame.

    Raises:
      ValueError: no time, times that do not increase, or boxes without an area.
    """

    seconds: np.ndarray
    boxes: np.ndarray

    def __post_init__(self):
        seconds = np.asarray(self.seconds, np.float64)
        boxes = np.asarray(self.boxes, np.float32)
        if seconds.ndim != 1 or boxes.shape != (len(seconds), 4) or not len(seconds):
            raise ValueError(f"face track: {boxes.shape} boxes at {seconds.shape} times")
        if not (np.isfinite(seconds).all() and (np.diff(seconds) > 0).all()):
            raise ValueError("face track: the times do not increase")
        if not (np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()):
            raise ValueError("face track: boxes without an area")
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "boxes", boxes)

    def covers(self, seconds: np.ndarray) -> np.ndarray:
        """Which of some times lie in the tracked stretch, bool."""
        seconds = np.asarray(seconds)
        return (self.seconds[0] <= seconds) & (seconds <= self.seconds[-1])

    def box_at(self, seconds: float) -> np.ndarray:
        """The box [4] at a time; beyond the stretch, that at its nearer end."""
        return np.array([np.interp(seconds, self.seconds, side) for side in self.boxes.T])
