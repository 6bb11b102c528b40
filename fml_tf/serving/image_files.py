"""JPEG and PNG files to frames, inside the exported graph, with checks before anything decodes."""

import tensorflow as tf

from fml_tf.serving.checks import require

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_HEADER_BYTES = 24  # signature, length and type of IHDR, width, height
# Where EXIF begins, in JPEG and in PNG; its entry for the orientation (one short integer) in both
# orders of bytes, and how far from the entry's start the value lies.
_EXIF = (b"Exif\0\0", b"eXIf")
_ORIENTATION = ((b"\x12\x01\x03\0\x01\0\0\0", 8), (b"\x01\x12\0\x03\0\0\0\x01\0", 9))


def decode_frames(files, size: int):
    """Decodes image files.

    Args:
      files: [B, M] strings, JPEG or PNG of size × size px, shown as its EXIF orientation asks; an
        empty string is a black frame.
      size: of the crops, px.

    Returns:
      [B, M, size, size, 3] float32 in [0, 1].
    """
    blank = tf.zeros((size, size, 3), tf.uint8)
    frames = tf.map_fn(
        lambda file: tf.cond(
            tf.equal(tf.strings.length(file), 0), lambda: blank, lambda: _decode(file, size)
        ),
        tf.reshape(files, [-1]),
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
    )
    shape = tf.concat([tf.shape(files), (size, size, 3)], axis=0)
    frames = tf.reshape(tf.cast(frames, tf.float32) / 255.0, shape)
    frames.set_shape((None, None, size, size, 3))
    return frames


def _decode(file, size: int):
    """One file → [size, size, 3] uint8; reads the size first: a small file can be a huge image."""
    header = tf.strings.substr(
        tf.strings.join([file, tf.constant(b"\0" * _PNG_HEADER_BYTES)]), 0, _PNG_HEADER_BYTES
    )
    is_png = tf.equal(tf.strings.substr(header, 0, len(_PNG)), _PNG)
    is_jpeg = tf.equal(tf.strings.substr(header, 0, len(_JPEG)), _JPEG)
    message = "image_bytes: expected JPEG or PNG files, got neither, bytes:"
    known = require(is_png | is_jpeg, message, tf.strings.length(file))
    with tf.control_dependencies([known]):
        file = tf.identity(file)
    # Errors of the decoders can't be reworded; the names of the nodes say which input it was.
    with tf.name_scope("image_bytes_expected_whole_JPEG_or_PNG_files"):
        width_and_height = tf.cond(
            is_png,
            lambda: tf.io.decode_raw(
                tf.strings.substr(header, 16, 8), tf.int32, little_endian=False
            ),
            lambda: tf.io.extract_jpeg_shape(file)[1::-1],
        )
        message = f"image_bytes: expected crops of {size} x {size} px, got width, height"
        fits = require(tf.reduce_all(width_and_height == size), message, width_and_height)
        with tf.control_dependencies([fits]):
            image = tf.io.decode_image(file, channels=3, expand_animations=False)
    image.set_shape((size, size, 3))
    return _upright(image, _orientation(file))


def _orientation(file):
    """The EXIF orientation of a file, 1 (upright) to 8; 1 where it has none."""
    content = tf.io.decode_raw(file, tf.uint8)
    begins = tf.concat([_places(content, marker) for marker in _EXIF], axis=0)

    def read():
        exif = content[tf.reduce_min(begins) :]
        # The first entry: a thumbnail may have one of its own.
        found = [(_places(exif, entry), offset) for entry, offset in _ORIENTATION]
        values = tf.concat([places + offset for places, offset in found], axis=0)
        inside = values[values < tf.size(exif)]
        return tf.cond(
            tf.size(inside) > 0, lambda: tf.cast(exif[tf.reduce_min(inside)], tf.int32), lambda: 1
        )

    return tf.cond(tf.size(begins) > 0, read, lambda: 1)


def _places(content, pattern: bytes):
    """Where a pattern begins in content [n] uint8, [k] int32."""
    count = tf.maximum(tf.size(content) - len(pattern) + 1, 0)
    equal = [content[i : i + count] == byte for i, byte in enumerate(pattern)]
    return tf.cast(tf.where(tf.reduce_all(equal, axis=0))[:, 0], tf.int32)


def _upright(image, orientation):
    """Turns and mirrors a square image [size, size, 3] as EXIF asks; nothing by unknown values."""
    for values, change in (
        ((5, 6, 7, 8), lambda image: tf.transpose(image, (1, 0, 2))),
        ((2, 3, 6, 7), lambda image: image[:, ::-1]),
        ((3, 4, 7, 8), lambda image: image[::-1]),
    ):
        asked = tf.reduce_any(tf.equal(orientation, values))
        image = tf.cond(asked, lambda i=image, c=change: c(i), lambda i=image: i)
    return image
