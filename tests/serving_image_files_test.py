"""Files that the exported graph decodes are shown as their EXIF orientation asks."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from fml_tf.files.images import read_image
from fml_tf.serving.image_files import decode_frames

SIZE = 24


def picture():
    """Each corner has a colour of its own."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[: SIZE // 2, : SIZE // 2, 0] = 240
    image[: SIZE // 2, SIZE // 2 :, 1] = 240
    image[SIZE // 2 :, : SIZE // 2, 2] = 240
    return image


def encoded(file_format, orientation=None, byte_order="<"):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[ExifTags.Base.Make] = "a camera"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, file_format, exif=exif, quality=95, subsampling=0)
    return file.getvalue()


@pytest.fixture(scope="module")
def decode():
    graph = tf.function(lambda files: decode_frames(files, SIZE))
    return lambda *files: np.uint8(np.round(255 * graph(np.array([files], object)).numpy()[0]))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(("file_format", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_each_orientation_is_shown_as_our_own_reader_shows_it(
    decode, tmp_path, file_format, suffix, byte_order
):
    files = [encoded(file_format, orientation, byte_order) for orientation in range(1, 9)]
    expected = []
    for number, file in enumerate(files):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(file)
        expected.append(read_image(path))
    assert len({image.tobytes() for image in expected}) == 8
    assert np.abs(decode(*files).astype(int) - expected).max() < 20  # decoders differ


def test_a_file_that_asks_for_nothing_stays_as_it_is(decode):
    files = [encoded(kind) for kind in ("JPEG", "PNG")]
    files += [encoded("PNG", 9), encoded("PNG", 0)]  # no orientations
    assert np.abs(decode(*files).astype(int) - picture()).max() < 20
