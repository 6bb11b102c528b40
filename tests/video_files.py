"""Videos of all kinds, made by PyAV's encoders, and ffmpeg's own program to compare with."""

import pathlib
import subprocess
from collections.abc import Iterable
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

from fml_tf.files.video import Frame


def images(frames: Iterable[Frame]) -> dict[int, np.ndarray]:
    """The pictures by their numbers."""
    return {frame.number: frame.image for frame in frames}


def moving_frames(
    count: int, height: int = 96, width: int = 128, seed: int = 0, speed: int = 4
) -> list[np.ndarray]:
    """Smooth coloured waves that move to the right; other ones for another seed."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:height, :width]
    phases = rng.uniform(0, 2 * np.pi, (3, 2))
    waves = rng.uniform(0.03, 0.08, (3, 2))

    def picture(n):
        shifted = u - speed * n
        channels = [
            127 + 60 * np.sin(wave[0] * shifted + phase[0]) + 60 * np.sin(wave[1] * v + phase[1])
            for wave, phase in zip(waves, phases)
        ]
        return np.uint8(np.stack(channels, axis=-1).clip(0, 255))

    return [picture(n) for n in range(count)]


def encode(
    path: pathlib.Path,
    frames: Iterable[np.ndarray],
    codec: str = "libx264",
    rate: int = 25,
    times: Iterable[float] | None = None,
    aspect: Fraction = Fraction(1),
    pixels: str = "yuv420p",
    colours: dict[str, int] | None = None,
    interlaced: bool = False,
    rotation: dict | None = None,
    options: dict[str, str] | None = None,
    container_format: str | None = None,
) -> pathlib.Path:
    """Writes RGB frames.

    Args:
      path: of the file.
      frames: pictures [H, W, 3] uint8.
      codec: of libav.
      rate: frames a second.
      times: of the frames in seconds, else even ones.
      aspect: width of a pixel over its height.
      pixels: libav's format of pixels.
      colours: `colorspace` and `color_range` by libav's numbers.
      interlaced: flags the frames so, the upper field first.
      rotation: arguments of `set_display_rotation`.
      options: of the encoder.
      container_format: libav's name, else by the suffix.
    """
    frames = list(frames)
    colours = colours or {}
    with av.open(path, "w", container_format) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if interlaced:
            flags = av.codec.context.Flags
            stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me
        for name, value in colours.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(**rotation)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame = frame.reformat(
                format=pixels,
                dst_colorspace=colours.get("colorspace", 5),
                dst_color_range=colours.get("color_range", 1),
            )
            if times is not None:
                frame.time_base = Fraction(1, 1000)
                frame.pts = round(1000 * times[number])
            if interlaced:
                frame = _flagged_interlaced(frame)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _flagged_interlaced(frame: av.VideoFrame) -> av.VideoFrame:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=frame, time_base=frame.time_base or Fraction(1, 25)),
        graph.add("setfield", "mode=tff"),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()


def weave(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Frames of two fields: the upper one's rows of an even frame, the lower one's of the next."""
    woven = []
    for upper, lower in zip(frames[::2], frames[1::2]):
        frame = upper.copy()
        frame[1::2] = lower[1::2]
        woven.append(frame)
    return woven


def ffmpeg(source: pathlib.Path, target: pathlib.Path, *options, before=()) -> pathlib.Path:
    """Converts a file by ffmpeg's own program."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *before, "-i", source, *options]
    subprocess.run([*command, target], check=True)
    return target


def ffmpeg_frames(path: pathlib.Path, height: int, width: int, filters: str = "null") -> np.ndarray:
    """What ffmpeg's own program shows, [n, height, width, 3] uint8 RGB."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-vf", filters]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)
