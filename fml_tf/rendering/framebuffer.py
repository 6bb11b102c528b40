"""Bridge to tensorflow-graphics' deferred shading."""

from __future__ import annotations

import typing

import tensorflow as tf

from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.rasterizer import Fragments

if typing.TYPE_CHECKING:
    from tensorflow_graphics.rendering import framebuffer as tfg_framebuffer


def clip_coordinates(vertices, camera: PerspectiveCamera, near_mm: float, far_mm: float):
    """Vertices in the clip space that tensorflow-graphics' renderers take.

    Args:
      vertices: [V, 3] mm, camera space.
      camera: the intrinsics.
      near_mm: depth of the near plane, where z/w is −1.
      far_mm: depth of the far plane, where z/w is 1.

    Returns:
      [V, 4] x, y, z, w, with the first row of the image at y/w = −1 as there. All are divided by
      the far depth (they are homogeneous): the fixed-point arithmetic of `RasterizeTriangles`
      overflows, and drops pixels, where w is hundreds.
    """
    x, y, z = tf.unstack(vertices, axis=-1)
    clip_x = 2.0 * camera.focal_length_px / camera.width * x
    clip_y = -2.0 * camera.focal_length_px / camera.height * y
    clip_z = (-z * (far_mm + near_mm) - 2.0 * far_mm * near_mm) / (far_mm - near_mm)
    return tf.stack([clip_x, clip_y, clip_z, -z], axis=-1) / far_mm


def to_framebuffer(fragments: Fragments, triangles) -> tfg_framebuffer.Framebuffer:
    """Hands fragments to the renderers of tensorflow-graphics.

    Args:
      fragments: of `rasterize`.
      triangles: [F, 3] int32, as rasterised.

    Returns:
      A `Framebuffer` of batch size 1 and one layer; as there, empty pixels have triangle 0 and are
      told by `foreground_mask`.
    """
    from tensorflow_graphics.rendering import framebuffer as tfg_framebuffer

    dtype = fragments.barycentrics.dtype
    triangle_ids = tf.maximum(fragments.triangle_ids, 0)
    foreground = tf.cast(fragments.triangle_ids >= 0, dtype)
    return tfg_framebuffer.Framebuffer(
        triangle_id=triangle_ids[None, ..., None],
        vertex_ids=tf.gather(triangles, triangle_ids)[None],
        foreground_mask=foreground[None, ..., None],
        barycentrics=tfg_framebuffer.RasterizedAttribute(fragments.barycentrics[None]),
    )
