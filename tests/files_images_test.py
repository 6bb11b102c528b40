"""Pictures are read upright, in sRGB, and refused by one kind of error."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from fml_tf.files import images
from fml_tf.files.images import ImageError, is_picture, read_image

# What is seen of a picture that was stored with each orientation.
SHOWN = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


def picture():
    """Each quarter has a colour of its own."""
    image = np.full((40, 60, 3), 128, np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    return image


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 95}),
        ("HEIF", {"quality": 95}),
    ],
)
def test_orientation_is_applied_whatever_the_format(tmp_path, file_format, options, orientation):
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "a"  # no suffix: the content tells
    Image.fromarray(picture()).save(path, file_format, exif=exif.tobytes(), **options)
    image = read_image(path)
    expected = SHOWN[orientation](picture())
    assert is_picture(path) and image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 6


def test_a_damaged_note_leaves_the_picture_whole(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture()).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)
    assert read_image(path).shape == (40, 60, 3)


def test_colours_of_a_profile_become_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    swapped = _swapped_channels(profile.tobytes())
    Image.fromarray(picture()).save(tmp_path / "a.png", icc_profile=swapped)
    expected = picture()[..., [2, 1, 0]]
    assert np.abs(read_image(tmp_path / "a.png").astype(int) - expected).mean() < 3
    Image.fromarray(picture()).save(tmp_path / "b.png", icc_profile=b"no profile")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), picture())


def _swapped_channels(profile):
    """The sRGB profile, its red and blue exchanged, and by another name."""
    profile = profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = mode in ("L", "LA", "1", "I;16")
    if mode == "I;16":
        image = Image.fromarray(np.full((40, 60), 200 << 8, np.uint16))
    else:
        flat = np.full((40, 60, 3), 255 if mode == "1" else 200, np.uint8)
        image = Image.fromarray(flat if grey else picture())
        image = image.quantize(8) if mode == "P" else image.convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)
    expected = np.full((40, 60, 3), 255 if mode == "1" else 200) if grey else picture()
    assert np.abs(read_image(path).astype(int) - expected).mean() < 4


def test_sixteen_bits_of_colour_are_rounded_down_to_eight(tmp_path):
    for name in ("a.png", "a.tif"):
        data = cv2.imencode(name[1:], np.uint16(picture()[..., ::-1]) * 257)[1]
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_image(tmp_path / name), picture())


def header_of_png(width, height):
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def cut(file_format):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(file, file_format)
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "of no format"),
        (b"some words", "of no format"),
        (header_of_png(40_000, 40_000), "more than 200,000,000 pixels"),
        (header_of_png(15_000, 14_000), "more than 200,000,000 pixels"),
        (header_of_png(60, 40), "not an image that can be read"),  # too few pixels
        (cut("JPEG"), "truncated"),
        (cut("PNG"), "truncated"),
        (cut("WEBP"), "not an image that can be read"),
        (cut("TIFF"), "not an image that can be read"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line_that_names_it(tmp_path, content, reason, recwarn):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.jpg: .*{reason}") as error:
        read_image(path)
    assert "\n" not in str(error.value) and not recwarn.list
    assert isinstance(error.value, ValueError)


def test_missing_files_and_unreadable_ones(tmp_path, monkeypatch):
    for read in (read_image, is_picture):
        with pytest.raises(FileNotFoundError, match="none: no such file"):
            read(tmp_path / "none")
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.fromarray(picture()).save(path)
    np.testing.assert_array_equal(read_image(path), picture())

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(path)


def test_heic_without_its_extra_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "pillow_heif", None)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert is_picture(path)
    with pytest.raises(ImageError, match=r"a\.jpg: HEIC .* `pip install pillow-heif`"):
        read_image(path)


@pytest.mark.parametrize("depth", [10, 16])
def test_grey_netpbm_of_more_than_eight_bits_is_read(tmp_path, depth):
    values = np.arange(64 * 64).reshape(64, 64) * (2**depth - 1) // (64 * 64 - 1)
    header = f"P5\n64 64\n{2**depth - 1}\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    expected = 255 * values / (2**depth - 1)
    assert np.abs(read_image(tmp_path / "a.pgm")[..., 1] - expected).max() <= 1


def test_a_profile_is_judged_by_what_it_does(tmp_path):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Its curves made straight lines, its name left: parametric curves of gamma 1.
    start = profile.index(b"para")
    while start >= 0:
        profile[start : start + 16] = b"para" + bytes(8) + (1 << 16).to_bytes(4, "big")
        start = profile.find(b"para", start + 16)
    source = ImageCms.ImageCmsProfile(io.BytesIO(bytes(profile)))
    assert "sRGB" in ImageCms.getProfileDescription(source)
    grey = Image.new("RGB", (8, 8), (64, 64, 64))
    grey.save(tmp_path / "a.png", icc_profile=bytes(profile))
    assert abs(int(read_image(tmp_path / "a.png")[0, 0, 0]) - 137) <= 1  # of linear 0.251
    grey.save(
        tmp_path / "b.png",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )
    assert (read_image(tmp_path / "b.png") == 64).all()


def test_a_pipe_and_a_camera_raw_are_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png: not a regular file"):
        read_image(tmp_path / "pipe.png")
    preview = Image.new("RGB", (8, 8))
    preview.save(tmp_path / "a.dng", format="TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageError, match=r"a\.dng: a camera's raw file; export it"):
        read_image(tmp_path / "a.dng")


def test_sixteen_bits_where_white_is_zero(tmp_path):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], 255 - values // 257)


def test_a_name_of_two_lines_is_told_in_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"two\\nlines.png: no such file"):
        read_image(tmp_path / "two\nlines.png")


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_profiles_of_grey_pictures_count(tmp_path, mode):
    # A grey profile of linear light, made from its few tags.
    curve = b"curv" + bytes(8)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(80)
    tags = {b"kTRC": curve, b"wtpt": white, b"desc": name}
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">2I", offset + len(body), len(content))
        body += content
    header = bytearray(128)
    header[8:12], header[12:24], header[36:40] = b"\2\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    profile = bytes(header) + struct.pack(">I", len(tags)) + table + body
    profile = struct.pack(">I", len(profile)) + profile[4:]
    grey = np.full((8, 8), 64, np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey)
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.png", icc_profile=profile)
    assert abs(int(read_image(tmp_path / "a.png")[0, 0, 0]) - 137) <= 1  # of linear 0.251


def test_a_png_with_a_long_history_is_read(tmp_path):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("history", "edited " * 300_000, zip=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a.png", pnginfo=notes)
    assert is_picture(tmp_path / "a.png") and (read_image(tmp_path / "a.png") == 9).all()


def test_a_grey_tiff_of_twelve_bits(tmp_path):
    values = np.arange(64).reshape(8, 8) * 65  # up to 4095
    pairs = values.reshape(-1, 2)
    packed = [(a >> 4, (a & 15) << 4 | b >> 8, b & 255) for a, b in pairs.tolist()]
    tags = {256: 8, 257: 8, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 96}
    content = struct.pack("<2sHI", b"II", 42, 8 + 96) + bytes(np.uint8(packed))
    content += struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<2H2I", tag, 4, 1, value) for tag, value in tags.items())
    (tmp_path / "a.tif").write_bytes(content + bytes(4))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], values >> 4)


def test_planes_of_sixteen_bits_are_refused(tmp_path):
    # Bits, offsets and lengths of the three planes of 4 x 4 lie behind the header.
    tables = struct.pack("<3H", 16, 16, 16) + struct.pack("<6I", 38, 70, 102, 32, 32, 32)
    tags = {256: 4, 257: 4, 258: (3, 3, 8), 259: 1, 262: 2, 273: (4, 3, 14), 277: 3, 278: 4}
    tags |= {279: (4, 3, 26), 284: 2}
    content = struct.pack("<2sHI", b"II", 42, 134) + tables + bytes(96)
    content += struct.pack("<H", len(tags))
    for tag, value in tags.items():
        content += struct.pack(
            "<2H2I", tag, *(value if isinstance(value, tuple) else (4, 1, value))
        )
    (tmp_path / "a.tif").write_bytes(content + bytes(4))
    with pytest.raises(ImageError, match="16 bits of uncompressed planes"):
        read_image(tmp_path / "a.tif")
