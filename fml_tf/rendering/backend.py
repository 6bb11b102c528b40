"""What draws a face: the interface of the rendering backends, and their names."""

import abc

from fml_tf.config import RENDERING_BACKENDS
from fml_tf.rendering.camera import PerspectiveCamera


class RenderingBackend(abc.ABC):
    """Projection, light and pixels; values and gradients are the same up to rounding in all.

    Attributes:
      xla: whether XLA compiles `project` and `shade`.
    """

    xla: bool

    @abc.abstractmethod
    def project(self, points, camera: PerspectiveCamera):
        """Projects camera-space points to crop pixels.

        Args:
          points: [V, 3, N] mm, camera space.
          camera: the intrinsics.

        Returns:
          [V, 2, N] positions (u right, v down) in pixels from the crop's outer top-left corner.
          Points nearer than `NEAR_MM`, or behind the camera, are projected as if at that depth.
        """

    @abc.abstractmethod
    def shade(self, albedo, normals, illumination):
        """Shaded colours: albedo × Σ_b γ_b H_b(n), equation (7); not clamped.

        Args:
          albedo: [V, 3, N] sRGB.
          normals: [V, 3, N] unit length, camera space. Of the gradient only the part at right
            angles to the normal has a meaning, since its length is fixed; there backends agree.
          illumination: [N, 9, 3] coefficients γ, by colour channel.

        Returns:
          [V, 3, N] colours.
        """

    @abc.abstractmethod
    def render(
        self,
        vertices,
        attributes,
        triangles,
        camera: PerspectiveCamera,
        cull_backfaces: bool = False,
    ):
        """Draws N frames of a mesh: at each pixel centre, the attributes of the nearest surface.

        Differentiable in the vertices (they move the surface under the pixel) and the attributes;
        which triangle a pixel shows has no gradient, so that silhouettes have none.

        Args:
          vertices: [V, 3, N] mm, camera space.
          attributes: [V, C, N], of the vertices' dtype.
          triangles: [F, 3] int32, counter-clockwise seen from outside.
          camera: the intrinsics; its width W and height H are those of the result.
          cull_backfaces: leave out triangles seen from inside.

        Returns:
          The attributes [N, H, W, C], interpolated correctly in perspective, zero where a pixel is
          empty; and the coverage [N, H, W], one where a pixel shows a triangle and zero elsewhere.
        """


def get_backend(name: str) -> RenderingBackend:
    """The backend of a name out of `RENDERING_BACKENDS`.

    Raises:
      ValueError: there is no such backend, or tensorflow-graphics is not installed.
    """
    # tensorflow-graphics is imported, and its op compiled, only for those who ask for it.
    if name == "fast":
        from fml_tf.rendering.fast import FAST

        return FAST
    if name == "tfg":
        try:
            from fml_tf.rendering.tfg import build_backend
        except ImportError as error:
            raise ValueError(
                f"--rendering_backend=tfg needs tensorflow-graphics, the extra fml-tf[tfg]: {error}"
            ) from None
        return build_backend()
    raise ValueError(f"rendering backend {name!r}: not one of {', '.join(RENDERING_BACKENDS)}")
