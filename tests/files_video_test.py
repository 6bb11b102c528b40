"""Frames are those that the decoder gives, shown as the file means them."""

import io
import os
import pathlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from full_disk import full_disk
from PIL import ExifTags, Image
from video_files import encode, ffmpeg, ffmpeg_frames, images, moving_frames, weave

from fml_tf.files.atomic import NotWrittenError
from fml_tf.files.video import (
    NotAVideoError,
    VideoError,
    check_video,
    index_frames,
    read_chosen_frames,
    read_frames,
)
from fml_tf.files.video_writer import even_times, write_video
from fml_tf.preprocessing.cuts import CutDetector

QUIET = {"x265-params": "log-level=none"}
MPEG2 = {"codec": "mpeg2video", "options": {"b": "4M"}}


def difference(frames, originals):
    """Largest mean difference of a frame from its original, grey levels of 255."""
    assert len(frames) == len(originals)
    return max(np.abs(a.image.astype(int) - b).mean() for a, b in zip(frames, originals))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.ts", {}),
        ("a.flv", {}),
        ("a.mkv", {"codec": "libx265", "options": QUIET}),
        ("a.mpg", MPEG2),
        ("a.avi", {"codec": "mpeg4", "options": {"b": "4M"}}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("av1.mp4", {"codec": "libsvtav1"}),
        ("av1.webm", {"codec": "libsvtav1"}),
        ("prores.mov", {"codec": "prores_ks", "pixels": "yuv422p10le"}),
        ("a.mjpg", {"codec": "mjpeg", "pixels": "yuvj420p", "container_format": "mjpeg"}),
    ],
)
def test_two_clips_in_turn_give_each_its_own_frames_as_ffmpeg_does(tmp_path, name, options):
    originals = [moving_frames(12, seed=seed) for seed in (1, 2)]
    paths = [
        encode(tmp_path / f"{seed}_{name}", frames, **options)
        for seed, frames in enumerate(originals)
    ]
    pairs = list(zip(*map(read_frames, paths), strict=True))
    for frames, original, path in zip(zip(*pairs), originals, paths):
        assert [frame.number for frame in frames] == list(range(12))
        np.testing.assert_allclose([f.seconds for f in frames], np.arange(12) / 25, atol=2e-3)
        assert difference(frames, original) < 8
        np.testing.assert_array_equal([f.image for f in frames], ffmpeg_frames(path, 96, 128))


INTERLACED = [
    ("a.mp4", {"options": {"g": "4"}}),
    ("a.ts", {"options": {"g": "4"}}),
    ("a.mpg", {"codec": "mpeg2video", "options": {"b": "6M", "g": "4"}}),
]


@pytest.mark.parametrize(("name", "options"), INTERLACED)
def test_interlaced_clips_in_turn_are_each_deinterlaced_as_by_ffmpeg(tmp_path, name, options):
    moves = [moving_frames(48, 192, 256, seed) for seed in (1, 2)]
    paths = [
        encode(tmp_path / f"{seed}_{name}", weave(frames), interlaced=True, **options)
        for seed, frames in enumerate(moves)
    ]
    pairs = list(zip(*map(read_frames, paths), strict=True))
    assert len(pairs) == 24
    for frames, move, path in zip(zip(*pairs), moves, paths):
        assert difference(frames, move[::2]) < 6  # the moment of the field that comes first
        expected = ffmpeg_frames(path, 192, 256, "bwdif=mode=send_frame:deint=interlaced")
        # For want of one before it ffmpeg's versions make the first frame each in its own way.
        np.testing.assert_array_equal([f.image for f in frames[1:]], expected[1:])
        index = index_frames(path)
        assert len(index.keyframes) > 2
        for frame in read_chosen_frames(path, index, [1, 14, 23]):
            np.testing.assert_array_equal(frame.image, frames[frame.number].image)


def test_a_clip_that_is_merely_flagged_as_interlaced_keeps_its_pictures(tmp_path):
    frames = moving_frames(8, 192, 256)
    path = encode(tmp_path / "a.mp4", frames, interlaced=True)
    assert difference(list(read_frames(path)), frames) < 6


def test_dv_is_deinterlaced_and_of_square_pixels(tmp_path):
    frames = moving_frames(12, 576, 720, speed=2)
    path = encode(
        tmp_path / "a.dv",
        weave(frames),
        codec="dvvideo",
        aspect=Fraction(64, 45),
        interlaced=True,
    )
    shown = list(read_frames(path))
    assert len(shown) == 6 and shown[0].image.shape == (576, 1024, 3)
    wide = [cv2.resize(frame, (1024, 576), interpolation=cv2.INTER_CUBIC) for frame in frames[::2]]
    assert difference(shown, wide) < 6


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        (Fraction(64, 45), (96, 182)),  # PAL DVD, 16:9
        (Fraction(4, 3), (96, 171)),  # HDV
        (Fraction(8, 9), (108, 128)),  # NTSC, 4:3: no pixel is lost
        (Fraction(1000), (96, 128)),  # nonsense
    ],
)
def test_pixels_are_made_square(tmp_path, aspect, shape):
    frames = moving_frames(3)
    path = encode(tmp_path / "a.mp4", frames, aspect=aspect)
    shown = list(read_frames(path))
    assert shown[0].image.shape == (*shape, 3)
    resized = [cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_CUBIC) for frame in frames]
    assert difference(shown, resized) < 6


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_pictures_are_turned_and_mirrored_as_by_ffmpeg(tmp_path, degrees, flips):
    rotation = {"degrees": degrees, "hflip": flips[0], "vflip": flips[1]}
    path = encode(tmp_path / "a.mp4", moving_frames(2), rotation=rotation)
    shown = np.stack([frame.image for frame in read_frames(path)])
    assert shown.shape[1:3] == ((96, 128) if degrees % 180 == 0 else (128, 96))
    np.testing.assert_array_equal(shown, ffmpeg_frames(path, *shown.shape[1:3]))


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_pictures_are_turned_whatever_else_stands_beside_them(tmp_path, orientation, turn):
    # Of EXIF, as of a second view, PyAV has no name.
    (frame,) = moving_frames(1)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "a.mjpg"
    Image.fromarray(frame).save(path, "JPEG", exif=exif, quality=95, subsampling=0)
    path.write_bytes(2 * path.read_bytes())
    shown = list(read_frames(path))
    assert difference(shown, [np.rot90(frame, turn)] * 2) < 3


def test_pictures_that_stand_askew_are_refused(tmp_path):
    path = encode(tmp_path / "a.mp4", moving_frames(2), rotation={"degrees": 30})
    with pytest.raises(VideoError, match=r"a\.mp4: rotated by 30 degrees"):
        next(read_frames(path))


@pytest.mark.parametrize(
    ("height", "colours"),
    [
        (96, {"colorspace": 1, "color_range": 1}),  # BT.709
        (96, {"colorspace": 5, "color_range": 1}),  # BT.601
        (96, {"colorspace": 9, "color_range": 1}),  # BT.2020
        (96, {"colorspace": 1, "color_range": 2}),  # of the full range
        (96, {}),  # not told: BT.601
    ],
)
def test_colours_are_those_of_the_tags(tmp_path, height, colours):
    # Flat colours: what little a codec costs is not what is asked here.
    frame = np.zeros((height, 128, 3), np.uint8)
    frame[:, :64], frame[:, 64:] = (220, 40, 60), (30, 200, 90)
    path = encode(tmp_path / "a.mp4", [frame] * 2, colours=colours)
    shown = next(read_frames(path)).image
    assert np.abs(shown.astype(int) - frame)[:, np.r_[8:56, 72:120]].max() < 4
    np.testing.assert_array_equal(shown, ffmpeg_frames(path, height, 128)[0])


def test_untagged_colours_of_high_definition_are_bt709(tmp_path):
    frame = np.full((720, 64, 3), (220, 40, 60), np.uint8)
    tagged = encode(tmp_path / "a.mp4", [frame] * 2, colours={"colorspace": 1})
    untagged = tmp_path / "b.mp4"
    options = ("-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=2")
    ffmpeg(tagged, untagged, *options)
    with av.open(untagged) as container:
        assert next(container.decode(video=0)).colorspace == 2  # indeed not told
    assert np.abs(next(read_frames(untagged)).image.astype(int) - frame).max() < 4


@pytest.mark.parametrize(("name", "options"), [("a.ts", {}), ("a.mpg", MPEG2)])
def test_pictures_of_another_size_midway_are_another_shot(tmp_path, name, options):
    parts = []
    for number, (height, width) in enumerate([(96, 128), (144, 176)]):
        part = encode(tmp_path / f"{number}_{name}", moving_frames(9, height, width), **options)
        parts.append(part.read_bytes())
    path = tmp_path / name
    path.write_bytes(b"".join(parts))
    frames = list(read_frames(path))
    # MPEG-2's decoder keeps the last frame of a sequence for itself.
    assert len(frames) >= 17
    assert frames[0].image.shape == (96, 128, 3) and frames[-1].image.shape == (144, 176, 3)
    assert (np.diff([frame.seconds for frame in frames]) > 0).all()  # the clock starts again
    np.testing.assert_allclose(frames[-1].seconds, 17 / 25, atol=0.02)
    cuts = CutDetector()
    changes = [cuts.is_cut(frame.image) for frame in frames]
    assert changes.index(True) in (8, 9) and sum(changes) == 1
    chosen = images(read_chosen_frames(path, index_frames(path), [0, 4, 12]))
    np.testing.assert_array_equal(chosen[4], frames[4].image)


def test_pixels_that_change_their_shape_midway_do(tmp_path):
    parts = []
    for number, aspect in enumerate([Fraction(4, 3), Fraction(1)]):
        part = tmp_path / f"{number}.mpg"
        parts.append(encode(part, moving_frames(6), aspect=aspect, **MPEG2).read_bytes())
    path = tmp_path / "a.mpg"
    path.write_bytes(b"".join(parts))
    frames = list(read_frames(path))
    assert frames[0].image.shape == (96, 171, 3) and frames[-1].image.shape == (96, 128, 3)


def damage(path):
    """Changes eight bytes amid a packet of the second group of pictures of ten."""
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    place = len(data) * 3 // 8  # where a container does not tell
    if None not in {packet.pos for packet in packets}:
        packet = sorted(packets, key=lambda packet: packet.pos)[15]
        place = packet.pos + packet.size // 3
    for byte in range(place, place + 8):
        data[byte] ^= 0x5A
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"options": {"g": "10", "bf": "2"}}),
        ("a.ts", {"options": {"g": "10"}}),
        ("a.mpg", {"codec": "mpeg2video", "options": {"b": "2M", "g": "10"}}),
        ("a.avi", {"codec": "mpeg4", "options": {"g": "10"}}),
        ("mjpeg.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}),
    ],
)
def test_damaged_frames_and_those_made_from_them_are_left_out(tmp_path, name, options):
    path = encode(tmp_path / name, moving_frames(40), **options)
    whole = {round(frame.seconds, 3): frame.image for frame in read_frames(path)}
    damage(path)
    frames = list(read_frames(path))
    assert 25 <= len(frames) < 40
    assert [frame.number for frame in frames] == list(range(len(frames)))
    for frame in frames:
        np.testing.assert_array_equal(frame.image, whole[round(frame.seconds, 3)])
    index = index_frames(path)
    chosen = read_chosen_frames(path, index, range(len(index.seconds)))
    assert [frame.seconds for frame in chosen] == [frame.seconds for frame in frames]


def test_a_jpeg_without_a_scan_is_no_frame(tmp_path):
    path = encode(tmp_path / "a.avi", moving_frames(6), codec="mjpeg", pixels="yuvj420p")
    data = bytearray(path.read_bytes())
    scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)  # of the second frame
    data[scan + 1] = 0xFE  # a comment
    path.write_bytes(data)
    assert [round(25 * frame.seconds) for frame in read_frames(path)] == [0, 2, 3, 4, 5]


def test_names_are_no_matter(tmp_path, monkeypatch):
    video = encode(tmp_path / "a.mp4", moving_frames(3)).read_bytes()
    monkeypatch.chdir(tmp_path)
    names = ["notes.txt", "photo.jpg", "http:x", "concat:a|b", "%d.mp4", "-i"]
    for name in (*names, os.fsdecode(b"caf\xe9.mp4")):
        pathlib.Path(name).write_bytes(video)
        check_video(name)
        assert len(list(read_frames(name))) == 3


def test_what_is_no_video_is_told_by_its_content(tmp_path):
    (tmp_path / "song.mp4").write_bytes(_song())
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "text.mp4").write_text("some words\n" * 100)
    (tmp_path / "empty.mp4").touch()
    Image.fromarray(moving_frames(1)[0]).save(tmp_path / "photo.mp4", "JPEG")
    for name in ("song", "list", "text", "empty", "photo"):
        with pytest.raises(NotAVideoError, match=rf"{name}\.mp4: (not a video|a picture)"):
            check_video(tmp_path / f"{name}.mp4")


def _song():
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as container:
        stream = container.add_stream("aac", rate=44_100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), "fltp", "mono")
        sound.rate = 44_100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_a_codec_that_no_decoder_knows_is_named(tmp_path):
    path = encode(tmp_path / "a.mp4", moving_frames(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"XYZ1"))
    with pytest.raises(VideoError, match=r"a\.mp4: its codec cannot be decoded \(XYZ1") as error:
        check_video(path)
    assert not isinstance(error.value, NotAVideoError)


def test_a_picture_of_too_many_pixels_is_no_frame(tmp_path):
    path = encode(tmp_path / "a.avi", moving_frames(2), codec="mjpeg", pixels="yuvj420p")
    data = path.read_bytes()
    size = b"\xff\xc0\x00\x11\x08" + (96).to_bytes(2, "big") + (128).to_bytes(2, "big")
    assert size in data
    path.write_bytes(data.replace(size, size[:5] + b"\xff\xdc\xff\xdc"))
    with pytest.raises(VideoError, match=r"a\.avi"):
        list(read_frames(path))


def test_a_disk_that_fails_is_told_from_a_bad_file(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", moving_frames(3))

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fml_tf.files.video_stream.os.open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        check_video(path)


def test_a_written_video_keeps_times_size_and_colours(tmp_path):
    times = [0.0, 0.04, 0.1, 0.5, 0.51, 0.9]
    frames = [frame[:95, :127] for frame in moving_frames(6)]
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    write_video(path, zip(times, frames))
    shown = list(read_frames(path))
    np.testing.assert_allclose([frame.seconds for frame in shown], times, atol=1e-4)
    assert shown[0].image.shape == (96, 128, 3)
    assert max(np.abs(a.image[:95, :127].astype(int) - b).mean() for a, b in zip(shown, frames)) < 4
    with av.open(path) as container:
        stream = container.streams.video[0]
        # The last frame is shown as long as the one before it.
        assert float(stream.duration * stream.time_base) == pytest.approx(0.9 + 0.39, abs=1e-3)
        assert stream.codec_context.name == "h264"


def test_a_video_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"a\.mp4: a video without frames"):
        write_video(tmp_path / "a.mp4", [])
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), np.uint8)
    write_video(tmp_path / "a.mp4", even_times(noise, 25))
    size = (tmp_path / "a.mp4").stat().st_size
    (tmp_path / "a.mp4").unlink()
    for room in (0, 100, size // 2, size - 1):  # in the header, the frames, the trailer
        with (
            full_disk(room),
            pytest.raises(NotWrittenError, match=r"a\.mp4: cannot be written: File too large"),
        ):
            write_video(tmp_path / "a.mp4", even_times(noise, 25))
        assert not list(tmp_path.iterdir())


def test_avi_with_frames_out_of_order_shows_them_in_turn(tmp_path):
    frames = moving_frames(12)
    path = encode(tmp_path / "a.avi", frames, rate=10, options={"bf": "3", "b_strategy": "0"})
    with av.open(path) as container:
        assert any(frame.pict_type == 3 for frame in container.decode(video=0))
    shown = list(read_frames(path))
    np.testing.assert_allclose(np.diff([frame.seconds for frame in shown]), 0.1, atol=1e-6)
    chosen = list(read_chosen_frames(path, index_frames(path), range(12)))
    assert [frame.number for frame in chosen] == list(range(12))
    for one, other in zip(shown, chosen, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(("first", "second"), [(3600, 0), (0, 3600)])
def test_joined_transport_streams_have_no_gap(tmp_path, first, second):
    path = tmp_path / "joined.ts"
    clip = encode(tmp_path / "a.mp4", moving_frames(8), rate=10, options={"bf": "0"})
    parts = []
    for number, offset in enumerate((first, second)):
        options = ("-c", "copy", "-output_ts_offset", str(offset), "-muxdelay", "0")
        parts.append(ffmpeg(clip, tmp_path / f"{number}.ts", *options).read_bytes())
    path.write_bytes(b"".join(parts))
    seconds = [frame.seconds for frame in read_frames(path)]
    assert len(seconds) == 16 and np.abs(np.diff(seconds) - 0.1).max() < 0.02


def test_a_raw_stream_has_the_rate_that_its_pictures_tell(tmp_path):
    clip = encode(tmp_path / "a.mp4", moving_frames(5), rate=10, options={"bf": "0"})
    path = ffmpeg(clip, tmp_path / "a.264", "-c", "copy", "-bsf:v", "h264_mp4toannexb")
    np.testing.assert_allclose([f.seconds for f in read_frames(path)], np.arange(5) / 10, atol=1e-6)


def test_a_frame_is_written_for_an_hour_at_most(tmp_path):
    pictures = moving_frames(3)
    write_video(tmp_path / "a.mp4", zip((0.0, 0.1, 30_000.0), pictures))
    seconds = [frame.seconds for frame in read_frames(tmp_path / "a.mp4")]
    np.testing.assert_allclose(seconds, (0, 0.1, 3600.1), atol=1e-4)


def test_a_sample_without_bytes_does_not_end_the_video(tmp_path):
    frames = moving_frames(4)
    path = encode(tmp_path / "a.mov", frames, "mjpeg", rate=10, pixels="yuvj420p")
    content = bytearray(path.read_bytes())
    sizes = content.index(b"stsz") + 16
    first, second = np.frombuffer(content[sizes : sizes + 8], ">u4").tolist()
    # The second is as a dropped frame is; its bytes lie behind the first one's, so nothing moves.
    content[sizes : sizes + 8] = np.array([first + second, 0], ">u4").tobytes()
    path.write_bytes(content)
    shown = list(read_frames(path))
    np.testing.assert_allclose([frame.seconds for frame in shown], (0, 0.2, 0.3), atol=1e-6)


def test_a_palette_is_kept_after_a_jump(tmp_path):
    clip = encode(tmp_path / "a.mkv", moving_frames(40), "ffv1", rate=10, pixels="bgr0")
    path = ffmpeg(clip, tmp_path / "a.avi", "-pix_fmt", "pal8", "-c:v", "rawvideo")
    index = index_frames(path)
    assert len(index.keyframes) > 20  # it could jump
    (last,) = read_chosen_frames(path, index, [35])
    np.testing.assert_array_equal(last.image, list(read_frames(path))[35].image)
    assert last.image.mean() > 50
