"""Which point of a deforming surface keeps to a tracked point best, over many pictures."""

import dataclasses

import numpy as np

# Residuals of about this size and more count ever less (mm): hands, hair, bad readings.
_SCALE = 2.0
_VERTICES = 8
# Only so many of the pictures choose the vertices.
_EVERY = 4
_ROUNDS = 12


@dataclasses.dataclass(frozen=True, eq=False)
class SurfacePoints:
    """P points of a triangle mesh.

    Attributes:
      corners: [P, 3] int, vertices.
      weights: [P, 3] float64 ≥ 0, of the corners; sum to one.
      cost: [P] float64, root mean robust square of what is left, mm.
    """

    corners: np.ndarray
    weights: np.ndarray
    cost: np.ndarray

    def of(self, vertices: np.ndarray) -> np.ndarray:
        """Where they are, [..., P, C], on vertices [..., V, C]."""
        return (vertices[..., self.corners, :] * self.weights[..., None]).sum(axis=-2)


def fit_surface_points(
    tracked: np.ndarray, vertices: np.ndarray, triangles: np.ndarray
) -> SurfacePoints:
    """Finds the surface points whose projections lie nearest to tracked points, robustly.

    For each point, the triangles about the vertices that follow it best are tried, and the best
    place in each is found by reweighted least squares (Geman-McClure).

    Args:
      tracked: [N, P, 2] mm in the picture's plane; N pictures.
      vertices: [N, V, 2] mm, projections of the surface.
      triangles: [F, 3] where the points may lie; those that name a vertex twice are edges.
    """
    used, places = np.unique(triangles, return_inverse=True)
    places = places.reshape(triangles.shape)
    few = vertices[::_EVERY, used].astype(np.float32)
    results = []
    for point in np.moveaxis(tracked, 1, 0).astype(np.float64):
        gaps = few - point[::_EVERY, None].astype(np.float32)
        best = _robust((gaps**2).sum(axis=-1)).mean(axis=0).argsort()[:_VERTICES]
        results.append(_best_of(point, vertices, triangles[np.isin(places, best).any(axis=1)]))
    return SurfacePoints(*map(np.array, zip(*results)))


def _robust(squares: np.ndarray) -> np.ndarray:
    return squares / (1 + squares / _SCALE**2)


def _squares(corners: np.ndarray, weights: np.ndarray, point: np.ndarray) -> np.ndarray:
    """[N, T] squared distances of a point [N, 2] from places in triangles [N, T, 3, 2]."""
    return ((np.einsum("tk,ntkd->ntd", weights, corners) - point[:, None]) ** 2).sum(axis=-1)


def _best_of(point, vertices, triangles):
    """Corners, weights and cost of the best place in any of triangles [T, 3]."""
    corners = vertices[:, triangles].astype(np.float64)  # [N, T, 3, 2]
    weights = np.full((len(triangles), 3), 1 / 3)
    for _ in range(_ROUNDS):
        trust = 1 / (1 + _squares(corners, weights, point) / _SCALE**2) ** 2
        weights = _nearest_in_triangles(corners, point, trust)
    costs = np.sqrt(_robust(_squares(corners, weights, point)).mean(axis=0))
    best = costs.argmin()
    return triangles[best], weights[best], costs[best]


def _nearest_in_triangles(corners, point, trust):
    """[T, 3] weights ≥ 0 that minimise Σ trust |Σ_k weight_k corner_k - point|² in each triangle.

    Such a problem is one of a triangle in the plane again: that of the normal equations.
    """
    sides = corners[:, :, 1:] - corners[:, :, :1]  # [N, T, 2, 2]
    gaps = point[:, None] - corners[:, :, 0]
    matrix = np.einsum("nt,ntid,ntjd->tij", trust, sides, sides)
    vector = np.einsum("nt,ntid,ntd->ti", trust, sides, gaps)
    # An edge is a triangle without area.
    matrix += 1e-9 * np.trace(matrix, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    free = np.linalg.solve(matrix, vector[..., None])[..., 0]
    # The best of the inside, if it is there, and of the three sides.
    candidates = [free]
    for start, along in (((0, 0), (1, 0)), ((0, 0), (0, 1)), ((1, 0), (-1, 1))):
        start, along = np.array(start, float), np.array(along, float)
        slope = np.einsum("i,tij,j->t", along, matrix, along) + 1e-9
        step = np.einsum("i,ti->t", along, vector - matrix @ start) / slope
        candidates.append(start + np.clip(step, 0, 1)[:, None] * along)
    candidates = np.stack(candidates)  # [4, T, 2]
    energy = np.einsum("cti,tij,ctj->ct", candidates, matrix, candidates)
    energy -= 2 * np.einsum("cti,ti->ct", candidates, vector)
    energy[0, (free < 0).any(axis=1) | (free.sum(axis=1) > 1)] = np.inf
    s, t = np.moveaxis(candidates[energy.argmin(axis=0), np.arange(len(free))], -1, 0)
    return np.clip(np.stack([1 - s - t, s, t], axis=1), 0, 1)
