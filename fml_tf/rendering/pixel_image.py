"""Pictures of faces for losses that compare pixels: differentiable, many frames at once."""

import tensorflow as tf

from fml_tf.rendering.backend import RenderingBackend
from fml_tf.rendering.camera import PerspectiveCamera


def render_faces(
    vertices, colours, region, triangles, camera: PerspectiveCamera, backend: RenderingBackend
):
    """Draws a region of a mesh, as far as the rest of the mesh does not hide it.

    Args:
      vertices: [V, 3, N] mm, camera space.
      colours: [V, 3, N] of the vertices.
      region: [V] bool, the vertices whose triangles show; the others only hide.
      triangles: [F, 3] int32.
      camera: the intrinsics; its width W and height H are those of the pictures.
      backend: what draws.

    Returns:
      Pictures [N, H, W, 3], black outside of the region, and a mask [N, H, W], one inside it and
      zero elsewhere. Differentiable in vertices and colours, but not at silhouettes; the mask has
      no gradient.
    """
    inside = tf.cast(region, colours.dtype)[:, None, None]
    inside = tf.broadcast_to(inside, (tf.shape(inside)[0], 1, tf.shape(colours)[2]))
    values, coverage = backend.render(
        vertices, tf.concat([colours, inside], axis=1), triangles, camera, cull_backfaces=True
    )
    # A triangle of the region has all three corners in it.
    whole = tf.stop_gradient(values[..., 3]) > 1.0 - 1e-4
    mask = tf.cast(whole, values.dtype) * tf.stop_gradient(coverage)
    return mask[..., None] * values[..., :3], mask
