"""Bridge to tensorflow-graphics' deferred shading."""

import tensorflow as tf
from tensorflow_graphics.rendering import framebuffer as tfg_framebuffer

from fml_tf.rendering.rasterizer import Fragments


def to_framebuffer(fragments: Fragments, triangles) -> tfg_framebuffer.Framebuffer:
    """Hands fragments to the renderers of tensorflow-graphics.

    Args:
      fragments: of `rasterize`.
      triangles: [F, 3] int32, as rasterised.

    Returns:
      A `Framebuffer` of batch size 1 and one layer; as there, empty pixels have triangle 0 and are
      told by `foreground_mask`.
    """
    dtype = fragments.barycentrics.dtype
    triangle_ids = tf.maximum(fragments.triangle_ids, 0)
    foreground = tf.cast(fragments.triangle_ids >= 0, dtype)
    return tfg_framebuffer.Framebuffer(
        triangle_id=triangle_ids[None, ..., None],
        vertex_ids=tf.gather(triangles, triangle_ids)[None],
        foreground_mask=foreground[None, ..., None],
        barycentrics=tfg_framebuffer.RasterizedAttribute(fragments.barycentrics[None]),
    )
