"""The video stream of a file, from packets to pictures, by libav (PyAV)."""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from fml_tf.files.names import printable
from fml_tf.files.video_picture import pixel_aspect, to_rgb

# Larger pictures are taken for a damaged header: 8K has 33 million.
_MAX_PIXELS = 1 << 26
_DEFAULT_RATE = Fraction(25)
# Where a container's times may leap (libav's AVFMT_TS_DISCONT), longer steps than this are leaps.
_MAY_LEAP, _LEAP_SECONDS = 0x200, 10
# Other common decoders flag what they could not fill; this one has to be asked to drop it.
_MOTION_JPEG = "mjpeg"
_START_OF_SCAN = b"\xff\xda"


class VideoError(ValueError):
    """A video that cannot be read; the message names the file."""


class NotAVideoError(VideoError):
    """A file that holds no video, or whose header is lost."""


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """A frame as the decoder gives it, in the order in which frames are shown.

    Attributes:
      count: whole frames before it, since the stream's start or the last jump.
      seconds: when it is shown, since the start of the video.
      aspect: width of a pixel over its height.
      picture: its pixels and what the file says of them.
    """

    count: int
    seconds: float
    aspect: Fraction
    picture: av.VideoFrame


class VideoStream:
    """The best video stream of a file; to be closed, or used as a context.

    Attributes:
      timed: whether what was read so far can be found again by its time.

    Raises:
      FileNotFoundError: no such file.
      OSError: it cannot be read.
      NotAVideoError, VideoError: what is wrong with it.
    """

    def __init__(self, path: str | os.PathLike):
        self.timed = True
        self._path = pathlib.Path(path)
        if not self._path.is_file():
            if self._path.exists() and not self._path.is_dir():  # a pipe, a socket
                raise NotAVideoError(f"{printable(path)}: not a regular file; save it to one first")
            raise FileNotFoundError(f"{printable(path)}: no such file")
        self._open()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._container.close()
        self._file.close()

    def restart(self) -> None:
        """Opens the file again, from its start."""
        self.close()
        self._open()

    @property
    def no_frame(self) -> str:
        """What to say of a stream that gives nothing."""
        return f"no frame can be decoded ({self._stream.codec_context.codec.long_name})"

    def packet_times(self) -> Iterator[tuple[float, bool]]:
        """Yields each packet's (seconds, whether a keyframe), in the order of decoding."""
        count = 0
        for packet in self._packets():
            # Those that an edit list hides, between a keyframe and where the video was trimmed, are
            # decoded but never shown.
            if not packet.is_discard:
                yield self._seconds(packet, count), packet.is_keyframe
                count += 1

    def frames(self) -> Iterator[Decoded]:
        """Yields the whole frames from here on; those of interlaced streams deinterlaced."""
        return self._deinterlaced(self._whole_frames(damaged=False))

    def frames_from(self, seconds: float) -> Iterator[Decoded] | None:
        """As `frames`, from the keyframe at or before that time on; None where there is no way."""
        if self._stream.codec_context.pix_fmt == "pal8":  # its palette comes with the first packet
            return None
        start = self._stream.start_time or 0
        try:
            self._container.seek(
                start + round(seconds / self._stream.time_base), stream=self._stream
            )
        except av.FFmpegError:
            return None
        # Containers may land between keyframes, whence decoders make pictures of nothing.
        return self._deinterlaced(self._whole_frames(damaged=True))

    def image(self, frame: Decoded) -> np.ndarray:
        """The picture as it is to be shown, [H, W, 3] uint8 RGB.

        Raises:
          VideoError: it is turned by no multiple of 90 degrees, or of a kind that is not read.
        """
        try:
            return to_rgb(frame.picture, frame.aspect, self._reformatter)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{printable(self._path)}: {_reason(error)}") from error

    def _open(self) -> None:
        # As an open file: no name then counts, be it one that libav takes for an address, for a
        # format by its suffix, or that is not text. Play lists may name other files: not read.
        self._file = os.fdopen(os.open(self._path, os.O_RDONLY), "rb")
        options = {"protocol_whitelist": "none", "max_pixels": str(_MAX_PIXELS)}
        try:
            self._container = av.open(self._file, options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            self._file.close()
            raise NotAVideoError(
                f"{printable(self._path)}: not a video that can be read ({_reason(error)})"
            ) from error
        except BaseException:
            self._file.close()
            raise
        try:
            self._stream = self._choose_stream()
        except BaseException:
            self.close()
            raise
        for stream in self._container.streams:
            if stream is not self._stream:
                stream.discard = av.stream.Discard.all
        context = self._stream.codec_context
        # One thread: many clips are prepared at a time, each by a process of its own.
        context.thread_count = 1
        context.thread_type = av.codec.context.ThreadType.NONE
        context.options = {"max_pixels": str(_MAX_PIXELS)}
        if context.name == _MOTION_JPEG:
            context.options = context.options | {"err_detect": "explode"}
        self._reformatter = av.video.reformatter.VideoReformatter()

    def _choose_stream(self) -> av.VideoStream:
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic  # a song's cover
        ]
        if not streams:
            raise NotAVideoError(
                f"{printable(self._path)}: not a video that can be read (no pictures in it)"
            )
        stream = self._container.streams.best("video")
        if stream is None or stream not in streams:
            stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(
                f"{printable(self._path)}: its codec cannot be decoded ({self._codec_name()})"
            )
        return stream

    def _codec_name(self) -> str:
        """The codec as the container has it: PyAV does not name one without a decoder."""
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)  # the description goes through the log
        try:
            told = re.search(r"Video: ([^,\n]+)", self._container.dumps_format())
        finally:
            av.logging.set_level(level)
        return told[1].removeprefix("none ").strip("()") if told else "unknown"

    def _seconds(self, shown: av.Packet | av.VideoFrame, count: int) -> float:
        """When a packet or a frame is shown; by its count where the container does not say."""
        ticks = shown.dts if shown.pts is None else shown.pts
        if ticks is None:
            self.timed = False
            # What the pictures themselves say comes first: for a raw stream libav makes up its own.
            told = self._stream.codec_context.framerate
            return float(count / (told or self._stream.average_rate or _DEFAULT_RATE))
        return float((ticks - (self._stream.start_time or 0)) * self._stream.time_base)

    def _packets(self) -> Iterator[av.Packet]:
        """Yields all packets; of a file that was cut short, those that are there.

        Where the clock starts again or leaps, as in joined recordings, times are made to continue.
        """
        packets = self._container.demux(self._stream)
        may_leap = self._container.format.flags & _MAY_LEAP
        longest = _LEAP_SECONDS / self._stream.time_base if may_leap else np.inf
        last, shift = None, 0
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            if not packet.size:  # a frame that was dropped, or the end
                continue
            if packet.dts is not None:
                if last is not None and not 0 <= packet.dts + shift - last <= longest:
                    shift = last + (packet.duration or 0) - packet.dts
                    self.timed = False
                packet.dts += shift
                last = packet.dts
            if packet.pts is not None:
                packet.pts += shift
            yield packet

    def _whole_frames(self, damaged: bool) -> Iterator[Decoded]:
        """Yields decoded frames without those that are damaged or depend on one that is.

        Args:
          damaged: whether all before the first keyframe are.
        """
        context, count, lost = self._stream.codec_context, 0, set()
        pixels = pixel_aspect(self._stream.sample_aspect_ratio)
        first_pixels = context.sample_aspect_ratio
        # AVI has no times of frames, only their order: each is shown at the next of the packets'.
        times = [] if self._container.format.name == "avi" else None
        for packet in itertools.chain(self._packets(), [None]):
            if times is not None and packet is not None:
                times = None if packet.pts is None else sorted([*times, packet.pts])
            try:
                pictures = context.decode(packet)
                failed = packet is not None and self._is_blank(packet)
            except (av.FFmpegError, ValueError):
                pictures, failed, damaged = [], True, True
            if failed and packet is not None and packet.pts is not None:
                lost.add(packet.pts)
                if times and not pictures:
                    times.remove(packet.pts)
            for picture in pictures:
                # What was made of a packet in spite of an error may come later, without a flag.
                spoiled = picture.is_corrupt or picture.pts in lost
                if times:
                    picture.pts = times.pop(0)
                damaged = spoiled or (damaged and not picture.key_frame)
                if not damaged:
                    if context.sample_aspect_ratio != first_pixels:  # it changed midway
                        pixels = pixel_aspect(context.sample_aspect_ratio)
                    yield Decoded(count, self._seconds(picture, count), pixels, picture)
                    count += 1

    def _is_blank(self, packet: av.Packet) -> bool:
        """Whether it is a JPEG of headers alone, which the decoder takes for a picture."""
        is_jpeg = self._stream.codec_context.name == _MOTION_JPEG
        return is_jpeg and _START_OF_SCAN not in bytes(packet)

    def _deinterlaced(self, frames: Iterator[Decoded]) -> Iterator[Decoded]:
        """Deinterlaces the frames that are flagged so, each with those before and after it."""
        deinterlacer, before = None, None
        try:
            for frame in frames:
                if before is not None and _kind(frame) != _kind(before):
                    if deinterlacer is not None:
                        yield from deinterlacer.end()
                    deinterlacer, before = None, None
                if deinterlacer is None and frame.picture.interlaced_frame:
                    deinterlacer = _Deinterlacer(frame.picture, self._stream.time_base)
                    if before is not None:
                        deinterlacer.push(before, shown=True)
                if deinterlacer is None:
                    yield frame
                else:
                    yield from deinterlacer.push(frame)
                before = frame
            if deinterlacer is not None:
                yield from deinterlacer.end()
        except av.FFmpegError as error:  # of the deinterlacer
            raise VideoError(f"{printable(self._path)}: {_reason(error)}") from error


def _kind(frame: Decoded) -> tuple[int, int, str]:
    return frame.picture.width, frame.picture.height, frame.picture.format.name


class _Deinterlacer:
    """Makes whole pictures of frames that hold two fields, taken one after the other."""

    def __init__(self, like: av.VideoFrame, time_base: Fraction):
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        self._graph.link_nodes(
            self._graph.add_buffer(template=like, time_base=time_base),
            self._graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            self._graph.add("buffersink"),
        ).configure()
        self._waiting = collections.deque()

    def push(self, frame: Decoded, shown: bool = False) -> list[Decoded]:
        """Takes a frame (`shown`: to look at only) and gives those before it that are ready."""
        self._waiting.append(None if shown else frame)
        self._graph.vpush(frame.picture)
        return self._ready()

    def end(self) -> list[Decoded]:
        """Gives what is left."""
        self._graph.vpush(None)
        return self._ready()

    def _ready(self) -> list[Decoded]:
        ready = []
        while True:
            try:
                picture = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return ready
            frame = self._waiting.popleft()
            if frame is not None:
                ready.append(dataclasses.replace(frame, picture=picture))


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
