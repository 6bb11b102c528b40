"""The backend of closed forms in plain TensorFlow: fast, on any device, with finite gradients."""

import tensorflow as tf

from fml_tf.rendering import camera as cameras
from fml_tf.rendering import illumination as lights
from fml_tf.rendering.backend import RenderingBackend
from fml_tf.rendering.rasterizer import interpolate, rasterize


class FastBackend(RenderingBackend):
    """`project`, `shade` and the rasteriser of this room."""

    xla = True

    def project(self, points, camera):
        """See `RenderingBackend`."""
        return cameras.project(points, camera)

    def shade(self, albedo, normals, illumination):
        """See `RenderingBackend`."""
        return lights.shade(albedo, normals, illumination)

    def render(self, vertices, attributes, triangles, camera, cull_backfaces=False):
        """See `RenderingBackend`."""
        vertices = tf.transpose(vertices, (2, 0, 1))
        fragments = rasterize(vertices, triangles, camera, cull_backfaces)
        values = interpolate(tf.transpose(attributes, (2, 0, 1)), triangles, fragments)
        return values, tf.cast(fragments.triangle_ids >= 0, values.dtype)


FAST = FastBackend()
