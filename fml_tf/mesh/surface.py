"""The nearest points of a triangle mesh's surface, exactly."""

import dataclasses

import numpy as np
import trimesh
from scipy.spatial import cKDTree

_FIRST_NEIGHBOURS = 6
# Pairs of a point and a triangle that are tested at once, to bound the memory.
_MOST_PAIRS = 1_000_000


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

    Triangles are sorted into classes of like size with a k-d tree of centres each: a triangle whose
    centre is further away than the best distance so far plus the class's radius cannot be nearer,
    so that few are tested, and the answer is exact however uneven the mesh is.

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
        centres = self.corners.mean(axis=1)
        radii = np.linalg.norm(self.corners - centres[:, None], axis=2).max(axis=1)
        size = np.floor(np.log2(radii / radii.min())).astype(int)
        self._classes = []
        for value in np.unique(size)[::-1]:
            members = np.flatnonzero(size == value)
            self._classes.append((members, radii[members].max(), cKDTree(centres[members])))

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
        best = np.full(len(points), np.inf)
        indices = np.zeros(len(points), int)
        nearest = np.zeros_like(points)
        for members, radius, tree in self._classes:
            active, neighbours = np.arange(len(points)), _FIRST_NEIGHBOURS
            while len(active):
                neighbours = min(neighbours, len(members))
                chunk = max(1, _MOST_PAIRS // neighbours)
                undecided = []
                for part in np.split(active, range(chunk, len(active), chunk)):
                    centre_distances, found = tree.query(points[part], neighbours)
                    centre_distances = centre_distances.reshape(len(part), -1)
                    found = members[found.reshape(len(part), -1)]
                    row, column = np.nonzero(centre_distances - radius < best[part, None])
                    self._improve(points, part[row], found[row, column], best, indices, nearest)
                    beyond = centre_distances[:, -1] - radius < best[part]
                    undecided.append(part[beyond])
                if neighbours == len(members):
                    break
                active, neighbours = np.concatenate(undecided), 4 * neighbours
        return indices, nearest, best

    def _improve(self, points, rows, triangles, best, indices, nearest):
        """Tests pairs of a point (`rows`) and a triangle; keeps what is nearer than the best."""
        if not len(rows):
            return
        candidates = trimesh.triangles.closest_point(self.corners[triangles], points[rows])
        distances = np.linalg.norm(candidates - points[rows], axis=1)
        # Of each point's pairs the nearest, and of equally near ones the first triangle.
        order = np.lexsort([triangles, distances, rows])
        first = order[np.unique(rows[order], return_index=True)[1]]
        first = first[distances[first] < best[rows[first]]]
        best[rows[first]] = distances[first]
        indices[rows[first]] = triangles[first]
        nearest[rows[first]] = candidates[first]


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
