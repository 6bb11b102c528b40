"""The nearest points of a triangle mesh's surface, exactly."""

import dataclasses

import numpy as np
import trimesh
from scipy.spatial import cKDTree

_NEIGHBOURS = 4
# Points that are searched at once, to bound the memory.
_CHUNK = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class ClosestPoints:
    """The nearest surface point of each of P points.

    Attributes:
      points: [P, 3] float64, on the surface.
      distances: [P] float64 ≥ 0.
      triangles: [P] int, the triangle that each lies on.
    """

    points: np.ndarray
    distances: np.ndarray
    triangles: np.ndarray


class Surface:
    """A triangle mesh that can be asked for its nearest points.

    A k-d tree holds the centres of all triangles, the large ones cut into pieces of the common
    size. A piece whose centre is further away than the best distance so far plus the radius of the
    pieces cannot be nearer, so that few are tested and the answer is exact however uneven the mesh.

    Args:
      vertices: [V, 3].
      triangles: [F, 3]; those without area are left out.

    Raises:
      ValueError: shapes that do not fit, values that are not finite, or no triangle with an area.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise ValueError(f"vertices must be finite and [V, 3], got {vertices.shape}")
        if triangles.ndim != 2 or triangles.shape[1] != 3:
            raise ValueError(f"triangles must be [F, 3], got {triangles.shape}")
        corners = vertices[triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        lengths = np.linalg.norm(normals, axis=1)
        self.extent = float(np.linalg.norm(np.ptp(vertices, axis=0)))
        solid = lengths > 1e-14 * self.extent**2
        if not solid.any():
            raise ValueError("the mesh has no triangle with an area")
        self.corners = corners[solid]
        self.normals = normals[solid] / lengths[solid, None]
        self._triangles = np.flatnonzero(solid)
        longest = np.linalg.norm(self.corners - np.roll(self.corners, 1, axis=1), axis=2).max(
            axis=1
        )
        # A piece's longest edge; bounded, so that one huge triangle does not become millions.
        size = max(np.median(longest), longest.max() / 2**8)
        pieces, faces, self._pieces = trimesh.remesh.subdivide_to_size(
            self.corners.reshape(-1, 3),
            np.arange(3 * len(self.corners)).reshape(-1, 3),
            size,
            max_iter=12,
            return_index=True,
        )
        pieces = pieces[faces]
        centres = pieces.mean(axis=1)
        self._radii = np.linalg.norm(pieces - centres[:, None], axis=2).max(axis=1)
        self._tree = cKDTree(centres)

    def closest(self, points: np.ndarray) -> ClosestPoints:
        """Finds the nearest surface point of each of [P, 3] points.

        `ClosestPoints.triangles` index the mesh as it was given.

        Raises:
          ValueError: points of another shape or not finite.
        """
        indices, nearest, distances = self._nearest(points)
        return ClosestPoints(nearest, distances, self._triangles[indices])

    def closest_with_normals(self, points: np.ndarray) -> tuple[ClosestPoints, np.ndarray]:
        """As `closest`, with the unit normals [P, 3] of the triangles that the points lie on."""
        indices, nearest, distances = self._nearest(points)
        closest = ClosestPoints(nearest, distances, self._triangles[indices])
        return closest, self.normals[indices]

    def _nearest(self, points):
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise ValueError(f"points must be finite and [P, 3], got {points.shape}")
        parts = np.split(points, range(_CHUNK, len(points), _CHUNK))
        found = [self._search(part) for part in parts]
        return tuple(np.concatenate(values) for values in zip(*found))

    def _search(self, points):
        # First a bound from the pieces with the nearest centres, then all that may undercut it.
        count = min(_NEIGHBOURS, self._tree.n)
        first = self._tree.query(points, count)[1].reshape(len(points), count)
        rows = np.repeat(np.arange(len(points)), count)
        bound = self._nearest_of(points, rows, first.reshape(-1))[2] * (1 + 1e-9)
        within = self._tree.query_ball_point(points, bound + self._radii.max())
        rows = np.repeat(np.arange(len(points)), [len(pieces) for pieces in within])
        pieces = np.concatenate(within).astype(int)
        centre_distances = np.linalg.norm(self._tree.data[pieces] - points[rows], axis=1)
        near = centre_distances <= bound[rows] + self._radii[pieces]
        return self._nearest_of(points, rows[near], pieces[near])

    def _nearest_of(self, points, rows, pieces):
        """Tests pairs of a point (ascending rows, each at least once) and a piece of a triangle."""
        triangles = self._pieces[pieces]
        candidates = trimesh.triangles.closest_point(self.corners[triangles], points[rows])
        distances = np.linalg.norm(candidates - points[rows], axis=1)
        # Of each point's pairs the nearest, and of equally near ones the first triangle.
        order = np.lexsort([triangles, distances, rows])
        chosen = order[np.searchsorted(rows, np.arange(len(points)))]
        return triangles[chosen], candidates[chosen], distances[chosen]


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A third of the area of the triangles about each vertex.

    As weights they make a sum over vertices an integral over the surface, which does not depend on
    how finely its parts are tessellated.

    Args:
      vertices: [V, 3].
      triangles: [F, 3].

    Returns:
      [V] float64, in the square of the vertices' unit; 0 where no triangle is.
    """
    areas = trimesh.triangles.area(np.asarray(vertices, np.float64)[triangles])
    return np.bincount(
        np.asarray(triangles).reshape(-1), np.repeat(areas / 3.0, 3), minlength=len(vertices)
    )
