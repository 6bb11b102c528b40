"""Reads damaged videos and pictures in a process of its own, which a fault ends.

    python tests/fuzz_reader.py --videos=2000 --pictures=10000

Each file is one of a few small ones with some bytes changed, cut out, doubled or exchanged with
another's. What is wrong must be told by a VideoError or an ImageError; each picture that comes of
a video must be one that a decoder of its own gives; and a file that takes more than 20 seconds
ends the process. The last line of what is printed counts what came of the files.
"""

import argparse
import collections
import contextlib
import hashlib
import io
import json
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import av
import numpy as np
from PIL import ExifTags, Image, ImageCms
from video_files import encode, moving_frames, weave

from fml_tf.files import images
from fml_tf.files.images import ImageError, is_picture, read_image
from fml_tf.files.video import (
    VideoError,
    check_video,
    index_frames,
    read_chosen_frames,
    read_frames,
)
from fml_tf.files.video_stream import VideoStream

_SECONDS_A_FILE = 20
_MEMORY = 8 << 30


def sample_videos(folder: pathlib.Path) -> dict[str, bytes]:
    """Small videos of many kinds."""
    frames, wide = moving_frames(16), moving_frames(12, 576, 720)
    quiet = {"x265-params": "log-level=none:keyint=6"}
    rate = {"b": "2M", "g": "6"}
    kinds = {
        "h264.mp4": {"options": {"g": "6", "bf": "2"}},
        "h264.ts": {"options": {"g": "6"}},
        "h264.flv": {},
        "turned.mov": {"rotation": {"degrees": 90}},
        "interlaced.mp4": {"interlaced": True, "frames": weave(frames)},
        "interlaced.mpg": {"codec": "mpeg2video", "interlaced": True, "options": rate},
        "mpeg2.ts": {"codec": "mpeg2video", "options": rate},
        "hevc.mkv": {"codec": "libx265", "options": quiet},
        "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "6"}},
        "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
        "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "6"}},
        "av1.mp4": {"codec": "libsvtav1", "options": {"g": "6", "preset": "12"}},
        "dv.dv": {"codec": "dvvideo", "interlaced": True, "frames": weave(wide)[:2]},
        "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    }
    return {
        name: encode(folder / name, **{"frames": frames, **kind}).read_bytes()
        for name, kind in kinds.items()
    }


def sample_pictures() -> dict[str, bytes]:
    """Small pictures of many kinds, turned by EXIF and with colour profiles where they can be."""
    image = Image.fromarray(moving_frames(1)[0])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    notes = {"exif": exif, "icc_profile": profile}
    kinds = {
        "a.jpg": ("JPEG", notes),
        "progressive.jpg": ("JPEG", {"progressive": True, **notes}),
        "a.png": ("PNG", notes),
        "a.webp": ("WEBP", notes),
        "a.tif": ("TIFF", {"exif": exif}),
        "lzw.tif": ("TIFF", {"compression": "tiff_lzw", "exif": exif}),
        "a.avif": ("AVIF", {"exif": exif, "speed": 10}),
        "a.gif": ("GIF", {}),
        "a.bmp": ("BMP", {}),
        "a.ppm": ("PPM", {}),
        "a.jp2": ("JPEG2000", {}),
    }
    if images.pillow_heif is not None:
        kinds["a.heic"] = ("HEIF", {})
    samples = {}
    for name, (file_format, options) in kinds.items():
        file = io.BytesIO()
        image.save(file, file_format, **options)
        samples[name] = file.getvalue()
    return samples


def damaged(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Some changes, more often near the start, where headers are."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 30))):
        reach = len(content) if rng.random() < 0.6 else min(len(content), 600)
        place, length = rng.randrange(max(reach, 1)), rng.choice((1, 4, 16, 200, 2000))
        what = rng.random()
        if what < 0.35:
            content[place : place + 1] = bytes([rng.randrange(256)])
        elif what < 0.6:
            content[place : place + 1] = bytes([content[place] ^ 1 << rng.randrange(8)])
        elif what < 0.7:
            content[place : place + 4] = rng.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1")
            )
        elif what < 0.8:
            del content[place : place + length]
        elif what < 0.87:
            content[place:place] = content[place : place + length]
        elif what < 0.94:
            start = rng.randrange(len(other))
            content[place : place + length] = other[start : start + length]
        else:
            del content[place:]
        if not content:
            break
    return bytes(content)


def read_video(path: pathlib.Path) -> str:
    """Reads in all ways, and says what came of it in a word or two."""
    if is_picture(path):
        return "a picture"
    try:
        check_video(path)
    except VideoError:
        return "not a video"
    frames = []
    try:
        for frame in read_frames(path):
            assert frame.image.ndim == 3 and frame.image.shape[2] == 3
            assert frame.image.dtype == np.uint8 and frame.image.size
            frames.append(frame)
    except VideoError:
        if not frames:
            return "no frame"
    assert [frame.number for frame in frames] == list(range(len(frames)))
    # As they are before any is deinterlaced, and each in a buffer that held no other: where a
    # decoder left something out, buffers that are used again would show what was there before.
    with VideoStream(path) as video:
        kept = [frame.picture for frame in video._whole_frames(damaged=False)]
        ours = list(map(_digest, kept))
    kept = list(_decode(path))
    assert set(ours) <= set(map(_digest, kept)), "a frame that no decoder gave"
    with VideoStream(path) as video:
        again = [_digest(frame.picture) for frame in video._whole_frames(damaged=False)]
    unfilled = again != ours
    try:
        index = index_frames(path)
        list(read_chosen_frames(path, index, range(0, len(index.seconds), 5)))
    except VideoError:
        pass
    return "frames, some not filled" if unfilled else "frames"


def read_picture(path: pathlib.Path) -> str:
    """Reads it, and says what came of it in a word or two."""
    known = is_picture(path)
    try:
        image = read_image(path)
    except ImageError as error:
        assert "\n" not in str(error) and path.name in str(error)
        return "unreadable" if known else "not a picture"
    assert known and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    return "a picture"


def _decode(path):
    """All that the decoder of a file gives, whatever it thinks of it."""
    file = io.BytesIO(path.read_bytes())  # the name is not to count
    with av.open(file, metadata_errors="replace") as container:
        stream = container.streams.best("video") or container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                yield from stream.codec_context.decode(packet)
            except StopIteration:
                break
            except (av.FFmpegError, ValueError):
                continue
        with contextlib.suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)


def _digest(picture):
    return hashlib.sha256(picture.to_ndarray(format="rgb24", threads=1).tobytes()).digest()


def fuzz(samples: dict[str, bytes], read, count: int, folder: pathlib.Path, seed: int) -> dict:
    """Reads `count` damaged files; how many came to what, and the longest time, seconds."""
    outcomes, longest = collections.Counter(), 0.0
    names = sorted(samples)
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        path = folder / f"{number}_{name}"
        path.write_bytes(damaged(samples[name], samples[rng.choice(names)], rng))
        print(path.name, file=sys.stderr, flush=True)  # the last one is the one that a fault ends
        signal.alarm(_SECONDS_A_FILE)  # nobody listens: it ends the process
        start = time.monotonic()
        outcome = read(path)
        if outcome.startswith("frames,"):
            print(outcome, file=sys.stderr)
        outcomes[outcome] += 1
        longest = max(longest, time.monotonic() - start)
        signal.alarm(0)
        path.unlink()
    return {"files": count, **dict(outcomes.most_common()), "longest, s": round(longest, 2)}


def main() -> None:
    """Reads the flags and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        videos = fuzz(sample_videos(folder), read_video, options.videos, folder, options.seed)
        pictures = fuzz(sample_pictures(), read_picture, options.pictures, folder, options.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"videos": videos, "pictures": pictures, "peak, MB": round(peak)}))


if __name__ == "__main__":
    main()
