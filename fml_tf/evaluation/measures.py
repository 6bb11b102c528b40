"""Distances between shapes: the figures that the protocols report. Lengths are mm.

Each function returns the distance at each point; `rms` and the mean make one figure of them.
"""

import numpy as np

from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.surface import Surface


def per_vertex(shape: np.ndarray, truth: np.ndarray, with_scale: bool = True) -> np.ndarray:
    """Distances of corresponding vertices after Procrustes alignment of shape to truth.

    Args:
      shape: [P, 3].
      truth: [P, 3], in correspondence.
      with_scale: False aligns rigidly, so that a wrong size counts.

    Returns:
      [P] mm of the truth.
    """
    aligned = procrustes(shape, truth, with_scale=with_scale).apply(shape)
    return np.linalg.norm(aligned - truth, axis=1)


def point_to_point(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Distances [P] of points [P, 3] to the nearest point of a surface."""
    return surface.closest(points).distances


def point_to_plane(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Distances [P] of points [P, 3] to the plane of the triangle nearest to each.

    As `point_to_point`, except beside a border, where the plane continues and the surface ends.
    """
    return point_and_plane(points, surface)[1]


def point_and_plane(points: np.ndarray, surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Both `point_to_point` and `point_to_plane`, by one search."""
    closest, normals = surface.closest_with_normals(points)
    return closest.distances, np.abs(np.einsum("pc,pc->p", points - closest.points, normals))


def landmark_error(landmarks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distances [P] of landmarks [P, C] to their truth, in its unit, unaligned."""
    return np.linalg.norm(np.asarray(landmarks, np.float64) - truth, axis=-1)


def mean(distances: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of [P] distances, weighted where weights [P] are given."""
    return float(np.average(distances, weights=weights))


def rms(distances: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Root of the mean of the squares of [P] distances, weighted where weights [P] are given."""
    return float(np.sqrt(np.average(np.square(distances), weights=weights)))
