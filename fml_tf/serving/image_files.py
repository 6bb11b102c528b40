"""JPEG and PNG files to frames, inside the exported graph, with checks before anything decodes."""

import tensorflow as tf

from fml_tf.serving.checks import require

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_HEADER_BYTES = 24  # signature, length and type of IHDR, width, height


def decode_frames(files, size: int):
    """Decodes image files.

    Args:
      files: [B, M] strings, JPEG or PNG of size × size px; an empty string is a black frame.
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
    # Errors of the decoders themselves can't be reworded; the names of the nodes tell the input.
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
    return image
