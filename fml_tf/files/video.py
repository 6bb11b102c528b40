"""Reading the frames of a video file: whole, upright, of square pixels, with their times."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from fml_tf.files.images import is_picture
from fml_tf.files.names import printable
from fml_tf.files.video_stream import NotAVideoError, VideoError, VideoStream

__all__ = [
    "Frame",
    "FrameIndex",
    "NotAVideoError",
    "VideoError",
    "check_video",
    "index_frames",
    "read_chosen_frames",
    "read_frames",
]


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
      number: counted from 0 in the order in which frames are shown; damaged ones do not count.
      seconds: when it is shown, since the start of the video.
      image: [H, W, 3] uint8 RGB, square pixels.
    """

    number: int
    seconds: float
    image: np.ndarray


class FrameIndex(NamedTuple):
    """The frames that a file really holds, in the order in which they are shown.

    Attributes:
      seconds: [n] float64, when each is shown, since the start of the video; uneven where the frame
        rate varies.
      keyframes: [k] int, numbers of the frames that decode without those before them, increasing.
    """

    seconds: np.ndarray
    keyframes: np.ndarray


def check_video(path: str | os.PathLike) -> None:
    """Finds out by its content whether a file is a video; a picture, even one that moves, is none.

    Raises:
      FileNotFoundError: no such file.
      NotAVideoError: not a video, or its header is lost.
      VideoError: a video, but of a codec that is not read.
    """
    if is_picture(path):
        raise NotAVideoError(f"{printable(path)}: a picture, not a video")
    with VideoStream(path):
        pass


def index_frames(path: str | os.PathLike, decode: bool = False) -> FrameIndex:
    """Lists a video's frames from its packets, unless `decode` is set.

    Args:
      path: video file.
      decode: lists what `read_frames` gives, without keyframes; takes about as long as to read
        it. In a damaged file some packets give no frame, in an interlaced one two may give one.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, its header is lost, or it holds no frame.
    """
    with VideoStream(path) as video:
        if decode:
            seconds = np.array([frame.seconds for frame in video.frames()])
            if not len(seconds):
                raise VideoError(f"{printable(path)}: {video.no_frame}")
            return FrameIndex(seconds, np.zeros(0, int))
        packets = list(video.packet_times())
        if not packets:
            raise VideoError(f"{printable(path)}: {video.no_frame}")
    seconds, is_key = map(np.array, zip(*packets))
    order = np.argsort(seconds, kind="stable")  # packets come in the order of decoding
    seconds = seconds[order]
    # A frame that shares its time with another cannot be identified by it after a jump.
    told_apart = (np.diff(seconds) > 0).all() and video.timed
    return FrameIndex(seconds, np.flatnonzero(is_key[order])[: None if told_apart else 1])


def read_frames(path: str | os.PathLike) -> Iterator[Frame]:
    """Yields every frame.

    What the file says of how its pictures are to be shown is done: they are turned and mirrored,
    their pixels made square (by enlarging), interlaced ones deinterlaced, colours converted by the
    file's matrix and range. Their size may change midway. Damaged frames, and those that are made
    from them, are left out. A file that was cut short gives the frames that it has.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, its header is lost, or no frame of it can be decoded.
    """
    found = False
    with VideoStream(path) as video:
        for frame in video.frames():
            found = True
            yield Frame(frame.count, frame.seconds, video.image(frame))
        if not found:
            raise VideoError(f"{printable(path)}: {video.no_frame}")


def read_chosen_frames(
    path: str | os.PathLike, index: FrameIndex, numbers: Iterable[int]
) -> Iterator[Frame]:
    """Yields chosen frames as `read_frames` does, and spends as little as it can on the others.

    Frames between those chosen are decoded, since others depend on them, but not converted; where a
    keyframe lies ahead, all before it is jumped over. What is damaged is left out.

    Args:
      path: video file.
      index: of the same file.
      numbers: increasing.

    Raises:
      FileNotFoundError: no such file.
      VideoError: not a video, or none of the frames can be decoded.
    """
    asked = found = False
    with VideoStream(path) as video:
        reader = _Reader(video, index)
        for number in numbers:
            asked = True
            frame = reader.read(number)
            if frame is not None:
                found = True
                yield Frame(number, float(index.seconds[number]), video.image(frame))
        if asked and not found:
            raise VideoError(f"{printable(path)}: {video.no_frame}")


class _Reader:
    """A stream that knows the number of the frame that it decoded last."""

    # Frames that a jump passes over at least: it costs as much as some, as decoders begin slowly.
    _LEAST_JUMP = 8

    def __init__(self, video: VideoStream, index: FrameIndex):
        self._video = video
        self._index = index
        self._may_jump = True
        # Where times distinguish frames, each is identified by the times half way to the next.
        by_time = (np.diff(index.seconds) > 0).all()
        self._ends = (index.seconds[1:] + index.seconds[:-1]) / 2 if by_time else None
        self._begin()

    def read(self, number: int):
        """The frame of that number; None where it is damaged or missing."""
        # Strictly before it: to deinterlace a frame takes the one before.
        ahead = np.searchsorted(self._index.keyframes, number) - 1
        if (
            self._may_jump
            and ahead >= 0
            and self._index.keyframes[ahead] > self._number + self._LEAST_JUMP
        ):
            self._jump(self._index.keyframes[ahead], number)
        self._advance(number)
        return self._frame if self._number == number else None

    def _jump(self, keyframe: int, number: int) -> None:
        # Some containers can't seek, others land anywhere: there is no way back from too far ahead.
        frames = self._video.frames_from(float(self._index.seconds[keyframe]))
        self._may_jump = frames is not None
        if frames is not None:
            self._frames, self._number = frames, -1
            self._advance(keyframe)
            self._may_jump = self._number <= number
        if not self._may_jump:
            self._video.restart()
            self._begin()

    def _begin(self) -> None:
        self._frames = self._video.frames()
        self._frame, self._number = None, -1

    def _advance(self, number: int) -> None:
        while self._number < number:
            self._frame = next(self._frames, None)
            if self._frame is None:
                self._number = len(self._index.seconds)
            elif self._ends is not None:
                self._number = int(np.searchsorted(self._ends, self._frame.seconds))
            else:
                self._number = self._frame.count
