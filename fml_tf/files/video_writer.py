"""Writing H.264 videos whose frames keep their times."""

import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

from fml_tf.files.atomic import atomic_path

# MP4's times are whole multiples of this; the usual frame rates divide it.
_TICK = Fraction(1, 90_000)
# A frame is shown so long at most: MP4 cannot hold much longer ones.
_LONGEST = round(3600 / _TICK)
_QUALITY = 15  # x264's constant rate factor: no loss that is seen
_BT709 = 1  # of AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic
_LIMITED = 1  # of AVColorRange


def even_times(frames: Iterable[np.ndarray], rate: float) -> Iterable[tuple[float, np.ndarray]]:
    """Frames with their times for `write_video`, `rate` of them a second."""
    return ((number / rate, frame) for number, frame in enumerate(frames))


def write_video(path: str | os.PathLike, frames: Iterable[tuple[float, np.ndarray]]) -> None:
    """Writes an MP4 file of H.264, 4:2:0, atomically.

    Sides of an odd number of pixels, which 4:2:0 cannot have, grow by one. The last frame is shown
    as long as the one before it, and none longer than an hour.

    Args:
      path: to write to.
      frames: (seconds, picture [H, W, 3] uint8 RGB) in the order in which they are shown, the times
        from 0 on; pictures are of one size.

    Raises:
      NotWrittenError: it cannot be written, as on a full disk.
      ValueError: no frames.
    """
    # A file that libav opened itself: it raises what the disk says of each packet and the trailer.
    with atomic_path(path) as temporary, av.open(temporary, "w", "mp4") as container:
        stream, ticks, step, left_out = None, 0, round(1 / 25 / _TICK), 0
        for seconds, image in frames:
            height, width = image.shape[:2]
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            if stream is None:
                stream = _add_stream(container, *image.shape[1::-1])
            else:
                last, ticks = ticks, max(round(seconds / _TICK) - left_out, ticks + 1)
                step = min(ticks - last, _LONGEST)
                left_out += ticks - last - step
                ticks = last + step
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format=stream.pix_fmt, dst_colorspace=_BT709, dst_color_range=_LIMITED, threads=1
            )
            frame.pts, frame.time_base, frame.duration = ticks, _TICK, step
            container.mux(stream.encode(frame))
        if stream is None:
            raise ValueError(f"{path}: a video without frames")
        container.mux(stream.encode(None))


def _add_stream(container: av.container.OutputContainer, width: int, height: int) -> av.VideoStream:
    stream = container.add_stream("libx264", options={"crf": str(_QUALITY), "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = _TICK
    context.flags |= av.codec.context.Flags.frame_duration
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream
