"""Reading the frames of a video file."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

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


@dataclasses.dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames that a file really holds, in the order in which they are shown.

    Attributes:
      seconds: [n] float64, when each is shown, since the start of the video; uneven where the frame
        rate varies.
      keyframes: [k] int, numbers of the frames that decode without those before them, increasing.
    """

    seconds: np.ndarray
    keyframes: np.ndarray


def index_frames(path: str | os.PathLike, decode: bool = False) -> FrameIndex:
    """Lists a video's frames from its packets, unless `decode` is set.

    Args:
      path: video file.
      decode: lists the frames that the decoder gives, without keyframes; takes about as long as to
        read them all. Some packets give none in a damaged file, and in one that was trimmed without
        encoding it again, whose edit list hides what lies between a keyframe and the trim.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, its header is lost, or it holds no frame.
    """
    seconds, is_key = [], []
    packets = () if decode else (cv2.CAP_PROP_FORMAT, -1)
    with _open(path, *packets) as capture:
        while capture.grab():
            seconds.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            # A decoder runs ahead of its packets: of which one this tells is not known there.
            is_key.append(not decode and capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) == 1)
    if not seconds:
        raise VideoError(f"{path}: no frame can be decoded")
    order = np.argsort(seconds, kind="stable")  # packets come in the order of decoding
    seconds = np.array(seconds)[order]
    keyframes = np.flatnonzero(np.array(is_key)[order])
    # Old containers have no proper times: a frame there can't be told by its time after a jump.
    return FrameIndex(seconds, keyframes if (np.diff(seconds) > 0).all() else keyframes[:1])


def read_frames(path: str | os.PathLike) -> Iterator[tuple[int, np.ndarray]]:
    """Yields every frame as (frame number, [H, W, 3] uint8 RGB), upright.

    Rotation in the file's metadata (phones held upright) is applied. A file that was cut short
    gives the frames that are there.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, its header is lost, or no frame of it can be decoded.
    """
    with _open(path) as capture:
        number = 0
        while capture.grab():
            decoded, frame = capture.retrieve()
            if decoded:
                yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            number += 1
    if number == 0:
        raise VideoError(f"{path}: no frame can be decoded")


def read_chosen_frames(
    path: str | os.PathLike, index: FrameIndex, numbers: Iterable[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields chosen frames as `read_frames` does, and spends as little as it can on the others.

    Frames between those chosen are decoded, since others hang on them, but not converted; where a
    keyframe lies far enough ahead, all before it is jumped over. What is damaged is left out.

    Args:
      path: video file.
      index: of the same file.
      numbers: increasing.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, or none of the frames can be decoded.
    """
    missing = []
    with _open(path) as capture:
        reader = _Reader(capture, index)
        for number in numbers:
            frame = reader.read(number)
            missing.append(frame is None)
            if frame is not None:
                yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if missing and all(missing):
        raise VideoError(f"{path}: no frame can be decoded")


class _Reader:
    """A capture that knows the number of the frame that it decoded last."""

    # OpenCV starts to decode at the last keyframe that lies this many frames before its aim.
    _RUN_UP = 16

    def __init__(self, capture: cv2.VideoCapture, index: FrameIndex):
        self.position = -1
        self._capture = capture
        self._index = index

    def read(self, number: int) -> np.ndarray | None:
        """The frame [H, W, 3] uint8 BGR; None where it is damaged or missing."""
        keyframes = self._index.keyframes
        if ((keyframes > self.position) & (keyframes <= number - self._RUN_UP)).any():
            self._seek(number)
        while self.position < number:
            if not self._capture.grab():
                return None
            self.position += 1
        decoded, frame = self._capture.retrieve()
        return frame if decoded else None

    def _seek(self, number: int) -> None:
        # OpenCV reckons with an even frame rate. Where the rate varies it lands near by: the time
        # tells where, and it must not be behind the frame, since there is no way back.
        frames_per_second = self._capture.get(cv2.CAP_PROP_FPS)
        seconds = self._index.seconds
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, int(seconds[number] * frames_per_second))
        landed = self._capture.grab()
        time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        self.position = int(np.abs(seconds - time).argmin())
        if not landed or self.position > number:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            self.position = -1


@contextlib.contextmanager
def _open(path: str | os.PathLike, *parameters: int) -> Iterator[cv2.VideoCapture]:
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    # One thread: many clips are prepared at a time, each by a process of its own.
    parameters = (cv2.CAP_PROP_N_THREADS, 1, *parameters)
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG, parameters)
    try:
        if not capture.isOpened():
            raise VideoError(f"{path}: not a video that can be read")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()
