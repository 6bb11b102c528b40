"""Reading the frames of a video file."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

# What goes wrong is told by a VideoError; ffmpeg's own lines (read at the first capture) are not.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoError(ValueError):
    """A video that cannot be read; the message names the file."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What the file's header says; streams that were cut short hold fewer frames.

    Attributes:
      num_frames: 0 where the header does not tell.
      frames_per_second: 0 where the header does not tell.
    """

    num_frames: int
    frames_per_second: float


def video_info(path: str | os.PathLike) -> VideoInfo:
    """Reads a video's header.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, or its header is lost.
    """
    with _open(path) as capture:
        return VideoInfo(
            max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))),
            max(0.0, capture.get(cv2.CAP_PROP_FPS)),
        )


def read_frames(path: str | os.PathLike, step: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yields every `step`-th frame as (frame number, [H, W, 3] uint8 RGB), upright.

    Rotation in the file's metadata (phones held upright) is applied. A file that was cut short
    gives the frames that are there.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, its header is lost, or no frame of it can be decoded.
    """
    with _open(path) as capture:
        number = 0
        while capture.grab():
            if number % step == 0:
                decoded, frame = capture.retrieve()
                if decoded:
                    yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            number += 1
    if number == 0:
        raise VideoError(f"{path}: no frame can be decoded")


def count_frames(path: str | os.PathLike) -> int:
    """Counts the frames that are there, whatever the header says, by going through them.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, or its header is lost.
    """
    with _open(path) as capture:
        return sum(1 for _ in iter(capture.grab, False))


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[cv2.VideoCapture]:
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise VideoError(f"{path}: not a video that can be read")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()
