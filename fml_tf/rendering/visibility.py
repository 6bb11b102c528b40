"""Which vertices the photometric term sees (paper, section 3.5): no z-buffer, only two tests."""

import tensorflow as tf

from fml_tf.rendering.camera import PerspectiveCamera


def front_facing(vertices, normals):
    """Whether a vertex lies before the camera and its normal faces it.

    Args:
      vertices: [V, 3, N] mm, camera space.
      normals: [V, 3, N] camera space, any length.

    Returns:
      [V, N] bool.
    """
    return (tf.reduce_sum(vertices * normals, axis=1) < 0) & (vertices[:, 2] < 0)


def inside_crop(positions, camera: PerspectiveCamera):
    """Whether positions lie inside the crop, its edge included.

    Args:
      positions: [V, 2, N] pixels, as of `project`.
      camera: the intrinsics.

    Returns:
      [V, N] bool.
    """
    size = tf.constant([[camera.width], [camera.height]], positions.dtype)
    return tf.reduce_all((positions >= 0) & (positions <= size), axis=1)
