"""Full perspective camera at the origin, looking along −z (paper, section 3.3)."""

import dataclasses

import tensorflow as tf

NEAR_MM = 1.0
"""Nearest depth, mm: depths below it are raised to it, so that no projection divides by zero."""


@dataclasses.dataclass(frozen=True)
class PerspectiveCamera:
    """Intrinsics of a crop's own camera; the principal point is the crop's centre.

    Attributes:
      focal_length_px: focal length in pixels.
      width: width of the crop in pixels.
      height: height of the crop in pixels.
    """

    focal_length_px: float
    width: int
    height: int

    def __post_init__(self):
        for name in ("focal_length_px", "width", "height"):
            if not getattr(self, name) > 0:
                raise ValueError(f"PerspectiveCamera: {name} must be positive, got {self}")


def project(points, camera: PerspectiveCamera):
    """Projects camera-space points to crop pixels.

    Args:
      points: [V, 3, N] mm, camera space.
      camera: the intrinsics.

    Returns:
      [V, 2, N] positions (u right, v down) in pixels from the crop's outer top-left corner. Points
      nearer than `NEAR_MM`, or behind the camera, are projected as if at that depth: finite, but
      meaningless.
    """
    points = tf.convert_to_tensor(points)
    scale = camera.focal_length_px / tf.maximum(-points[:, 2], NEAR_MM)
    u = 0.5 * camera.width + scale * points[:, 0]
    v = 0.5 * camera.height - scale * points[:, 1]
    return tf.stack([u, v], axis=1)
