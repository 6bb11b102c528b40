"""The backend of tensorflow-graphics: its camera, spherical harmonics, framebuffer and rasteriser.

It is slower than `fast` (docs/performance.md) and agrees with it in values and gradients.
"""

import functools

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow_graphics.math import math_helpers
from tensorflow_graphics.math import spherical_harmonics as tfg_harmonics
from tensorflow_graphics.rendering import barycentrics as tfg_barycentrics
from tensorflow_graphics.rendering import framebuffer as tfg_framebuffer
from tensorflow_graphics.rendering import interpolate as tfg_interpolate
from tensorflow_graphics.rendering.camera import perspective

from fml_tf.rendering.backend import RenderingBackend
from fml_tf.rendering.camera import NEAR_MM, PerspectiveCamera
from fml_tf.rendering.rasterizer import nearest_triangles
from fml_tf.rendering.tfg_rasterizer import compile_rasterizer

# On the z axis the azimuth is not defined, and the gradients of arccosine, arctangent and of
# Legendre's √(1 − cos²θ) are infinite. Normals that face the camera lie there: those nearer to it
# than this are moved off it by twice as much, which changes the harmonics by no more.
_POLE_RADIUS = 1e-6
# FaceCullingMode in rasterize_triangles_impl.h. Clip space has y down, where the triangles that
# are counter-clockwise to the viewer are those that the op takes for backfaces.
_CULL_NONE, _CULL_FRONT = 0, 2


class TfgBackend(RenderingBackend):
    """Image formation through the functions of tensorflow-graphics.

    Args:
      ops: tensorflow-graphics' library of the op `rasterize_triangles`; None: our rasteriser finds
        the triangle of each pixel in its place.
    """

    # The harmonics hold a loop for whose gradient XLA finds no bound.
    xla = False

    def __init__(self, ops=None):
        self._ops = ops
        # Its barycentrics are traced again at every call if they are not inside a function.
        self._render = tf.function(self._draw, reduce_retracing=True)

    def project(self, points, camera):
        """See `RenderingBackend`."""
        x, y, z = tf.unstack(tf.convert_to_tensor(points), axis=1)
        # There the camera looks along +z with y down: half a turn about x.
        points = tf.stack([x, -y, tf.maximum(-z, NEAR_MM)], axis=-1)
        focal = tf.constant([camera.focal_length_px] * 2, points.dtype)
        principal_point = tf.constant([0.5 * camera.width, 0.5 * camera.height], points.dtype)
        return tf.transpose(perspective.project(points, focal, principal_point), (0, 2, 1))

    def shade(self, albedo, normals, illumination):
        """See `RenderingBackend`."""
        bands = spherical_harmonics(tf.transpose(normals, (0, 2, 1)))  # [V, N, 9]
        coefficients = tf.transpose(illumination, (0, 2, 1))  # [N, 3, 9]
        light = tfg_harmonics.integration_product(
            bands[:, :, None], coefficients[None], keepdims=False
        )
        return albedo * tf.transpose(light, (0, 2, 1))

    def render(self, vertices, attributes, triangles, camera, cull_backfaces=False):
        """See `RenderingBackend.render`; float32 alone, as tensorflow-graphics' barycentrics.

        tensorflow-graphics' rasteriser rounds vertices to 2⁻¹⁶ of half the picture: a pixel centre
        on an edge may show the neighbour, and one on a silhouette a triangle that is nearly edge-on
        and has steep gradients. It cuts triangles off at the near plane; `fast` leaves them out.

        Raises:
          TypeError: vertices or attributes are not float32.
        """
        vertices, attributes = tf.convert_to_tensor(vertices), tf.convert_to_tensor(attributes)
        for name, values in (("vertices", vertices), ("attributes", attributes)):
            if values.dtype != tf.float32:
                raise TypeError(f"tfg renders float32 {name}, not {values.dtype.name}")
        triangles = tf.convert_to_tensor(triangles)
        return self._render(vertices, attributes, triangles, camera, cull_backfaces)

    def _draw(self, vertices, attributes, triangles, camera, cull_backfaces):
        vertices = tf.transpose(vertices, (2, 0, 1))
        clip = clip_coordinates(vertices, camera)
        if self._ops is None:
            triangle_ids = nearest_triangles(vertices, triangles, camera, cull_backfaces)
            covered = triangle_ids >= 0
        else:
            triangle_ids, covered = self._rasterize(clip, triangles, camera, cull_backfaces)
        triangle_ids = tf.maximum(triangle_ids, 0)
        vertex_ids = tf.gather(triangles, triangle_ids)
        framebuffer = tfg_framebuffer.Framebuffer(
            triangle_id=triangle_ids[..., None],
            vertex_ids=vertex_ids,
            foreground_mask=tf.cast(covered, tf.float32)[..., None],
            # Of this only the shape is read: the next line computes those that have gradients.
            barycentrics=tfg_framebuffer.RasterizedAttribute(tf.zeros_like(vertex_ids, tf.float32)),
        )
        framebuffer = tfg_barycentrics.differentiable_barycentrics(framebuffer, clip, triangles)
        values = tfg_interpolate.interpolate_vertex_attribute(
            tf.transpose(attributes, (2, 0, 1)), framebuffer
        )
        return values.value, framebuffer.foreground_mask[..., 0]

    def _rasterize(self, clip, triangles, camera, cull_backfaces):
        """Triangle [N, H, W] int32 of each pixel, and whether it has one, [N, H, W] bool."""

        def rasterize_one(frame):
            _, triangle_ids, z_buffer = self._ops.rasterize_triangles(
                frame,
                triangles,
                image_width=camera.width,
                image_height=camera.height,
                num_layers=1,
                face_culling_mode=_CULL_FRONT if cull_backfaces else _CULL_NONE,
            )
            return triangle_ids[0], z_buffer[0] != 1.0  # 1 is what an empty pixel holds

        size = (camera.height, camera.width)
        return tf.map_fn(
            rasterize_one,
            tf.stop_gradient(clip),
            fn_output_signature=(tf.TensorSpec(size, tf.int32), tf.TensorSpec(size, tf.bool)),
        )


@functools.cache
def build_backend() -> TfgBackend:
    """The backend with tensorflow-graphics' own rasteriser, where that can be compiled."""
    try:
        library = compile_rasterizer()
    except (FileNotFoundError, RuntimeError) as error:
        logging.warning("%s; using our rasteriser instead", error)
        return TfgBackend()
    return TfgBackend(tf.load_op_library(str(library)))


def spherical_harmonics(normals):
    """tensorflow-graphics' spherical harmonics, in our order and signs.

    In float64 inside: they take sin θ from cos θ, which loses half of the digits at normals that
    nearly face the camera. Those that do so exactly are moved off the axis (`_POLE_RADIUS`).

    Args:
      normals: [..., 3] unit length, camera space.

    Returns:
      [..., 9] in the order of `docs/conventions.md` and the dtype of the normals.
    """
    x, y, z = tf.unstack(tf.cast(normals, tf.float64), axis=-1)
    x += 2 * _POLE_RADIUS * tf.cast(x**2 + y**2 < _POLE_RADIUS**2, x.dtype)
    spherical = math_helpers.cartesian_to_spherical_coordinates(tf.stack([x, y, z], axis=-1))
    degree, order = tfg_harmonics.generate_l_m_permutations(2)
    shape = tf.concat([tf.shape(x), tf.shape(degree)], axis=0)
    bands = tfg_harmonics.evaluate_spherical_harmonics(
        tf.broadcast_to(degree, shape),
        tf.broadcast_to(order, shape),
        theta=spherical[..., 1:2],
        phi=spherical[..., 2:],
    )
    # tensorflow-graphics has the phase (−1)^m; ours has none.
    signs = np.where(np.abs([0, -1, 0, 1, -2, -1, 0, 1, 2]) == 1, -1.0, 1.0)
    return tf.cast(bands * signs, normals.dtype)


def clip_coordinates(vertices, camera: PerspectiveCamera):
    """Vertices in the clip space that tensorflow-graphics' renderers take.

    Args:
      vertices: [N, V, 3] mm, camera space.
      camera: the intrinsics.

    Returns:
      [N, V, 4] x, y, z, w, with the first row of the image at y/w = −1 as there. The near and far
      planes lie just before and behind each frame's vertices, which leaves the z-buffer most of
      its digits. All are divided by the far depth (they are homogeneous): the fixed-point
      arithmetic of `RasterizeTriangles` overflows, and drops pixels, where w is hundreds.
    """
    x, y, z = tf.unstack(vertices, axis=-1)
    depth = tf.stop_gradient(-z)
    near = tf.maximum(0.99 * tf.reduce_min(depth, axis=1, keepdims=True), NEAR_MM)
    far = tf.maximum(1.01 * tf.reduce_max(depth, axis=1, keepdims=True), 2 * NEAR_MM)
    clip_x = 2.0 * camera.focal_length_px / camera.width * x
    clip_y = -2.0 * camera.focal_length_px / camera.height * y
    clip_z = (-z * (far + near) - 2.0 * far * near) / (far - near)
    return tf.stack([clip_x, clip_y, clip_z, -z], axis=-1) / far[..., None]
