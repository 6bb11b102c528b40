"""Bilinear look-up of image colours at vertex projections (paper, section 3.5)."""

import tensorflow as tf


def _split(coordinate, size):
    """Cell and offset of pixel coordinates, clamped to the outermost pixel centres.

    Returns the cell's index in [0, size − 2], the offset inside it in [0, 1], and a mask, one where
    the position lies between the outermost centres (these included) and zero where it was clamped.
    """
    last = tf.cast(size - 1, coordinate.dtype)
    shifted = coordinate - 0.5  # pixel centres lie at +0.5
    clamped = tf.clip_by_value(shifted, 0.0, last)
    # The index is clipped as an integer, so that even a NaN reads a pixel: it then shows up as a
    # NaN in the loss, where training stops with a message, and not as an index out of range.
    cell = tf.clip_by_value(tf.cast(tf.floor(clamped), tf.int32), 0, tf.maximum(size - 2, 0))
    inside = tf.cast((shifted >= 0) & (shifted <= last), coordinate.dtype)
    return cell, clamped - tf.cast(cell, coordinate.dtype), inside


def sample_bilinear(images, positions):
    """Samples images at positions, bilinearly; beyond the outermost pixel centres it clamps.

    The gradient flows to the positions only: the slope of the interpolant in the pixel cell of the
    position (at a cell's border, of the cell to its right or below), and zero along an axis on
    which the position was clamped. Images get no gradient.

    Args:
      images: [N, H, W, C], sizes from 2 up.
      positions: [V, 2, N] pixels (u right, v down) from the outer top-left corner.

    Returns:
      [V, C, N] in the images' colours.
    """
    images = tf.stop_gradient(images)

    @tf.custom_gradient
    def sample(positions):
        shape = tf.shape(images)
        frames, height, width, channels = shape[0], shape[1], shape[2], images.shape[3]
        column, right, inside_u = _split(positions[:, 0], width)
        row, down, inside_v = _split(positions[:, 1], height)
        pixels = tf.reshape(images, [-1, channels])
        top_left = (tf.range(frames) * height + row) * width + column  # [V, N]

        def corner(offset):
            return tf.gather(pixels, top_left + offset)  # [V, N, C]

        top, top_right = corner(0), corner(1)
        bottom, bottom_right = corner(width), corner(width + 1)
        right, down = right[..., None], down[..., None]
        top_slope, bottom_slope = top_right - top, bottom_right - bottom
        top = top + right * top_slope
        slope_v = bottom + right * bottom_slope - top

        def gradient(upstream):
            upstream = tf.transpose(upstream, [0, 2, 1])
            slope_u = top_slope + down * (bottom_slope - top_slope)
            along_u = tf.reduce_sum(upstream * slope_u, axis=-1) * inside_u
            along_v = tf.reduce_sum(upstream * slope_v, axis=-1) * inside_v
            return tf.stack([along_u, along_v], axis=1)

        return tf.transpose(top + down * slope_v, [0, 2, 1]), gradient

    return sample(tf.convert_to_tensor(positions))
