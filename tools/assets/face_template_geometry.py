"""Curves, areas and sliding contours on the coarse head mesh (used by `build_face_template.py`)."""

import itertools

import numpy as np
from scipy import sparse, spatial
from scipy.sparse import csgraph

from tools.assets import face_template_marks as marks


def mirror_vertices(vertices: np.ndarray) -> np.ndarray:
    """[V] the vertex at each one's mirror image in x; refuses shapes that are not symmetric."""
    gap, mirror = spatial.KDTree(vertices).query(vertices * [-1, 1, 1])
    if gap.max() > 1e-6:
        raise ValueError(f"the mesh is not symmetric: a vertex is {gap.max()} mm off its mirror's")
    return mirror


class HeadGeometry:
    """The coarse head and the questions that its marks ask of it.

    Args:
      vertices: [V, 3] mm, model space.
      quads: [F, 4] vertex indices.
      mirror: [V] the vertex on the other side of each.
    """

    def __init__(self, vertices: np.ndarray, quads: np.ndarray, mirror: np.ndarray):
        self.vertices = vertices
        self.quads = quads
        sides = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
        self.edges = np.unique(np.sort(sides, axis=1), axis=0)
        self.mirror = mirror

    def _graph(self, lengths: np.ndarray) -> sparse.csr_matrix:
        a, b = self.edges.T
        count = len(self.vertices)
        return sparse.csr_matrix(
            (np.tile(lengths, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), (count, count)
        )

    def path(self, way_points) -> list[int]:
        """Vertices of the shortest edge path through the way points, both ends included."""
        a, b = self.edges.T
        graph = self._graph(np.linalg.norm(self.vertices[a] - self.vertices[b], axis=1))
        path = [way_points[0]]
        for start, end in itertools.pairwise(way_points):
            _, before = csgraph.dijkstra(graph, indices=start, return_predecessors=True)
            leg = [end]
            while leg[-1] != start:
                leg.append(int(before[leg[-1]]))
            path += leg[-2::-1]
        return path

    def mirrored(self, path: list[int]) -> list[int]:
        """The path and its mirror image."""
        return path + [int(self.mirror[i]) for i in path]

    def fill(self, seed: int, border) -> np.ndarray:
        """[V] bool: what is reached from `seed` along edges without passing the border, with it."""
        on_border = np.zeros(len(self.vertices), bool)
        on_border[list(border)] = True
        a, b = self.edges.T
        free = ~on_border[a] & ~on_border[b]
        graph = self._graph(np.where(free, 1.0, 0.0))
        graph.eliminate_zeros()
        _, label = csgraph.connected_components(graph)
        return (label == label[seed]) | on_border

    def distance_to_polyline(self, points: np.ndarray) -> np.ndarray:
        """[V] mm, straight-line distance of the vertices from a polyline [P, 3] or its mirror's."""
        distance = self._distance(points)
        return np.minimum(distance, distance[self.mirror])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        start, along = points[:-1, None], (points[1:] - points[:-1])[:, None]
        offset = self.vertices[None] - start
        t = np.clip((offset * along).sum(2) / (along**2).sum(2), 0, 1)
        return np.linalg.norm(offset - t[..., None] * along, axis=2).min(axis=0)

    def vertex_normals(self) -> np.ndarray:
        """[V, 3] unit, area-weighted."""
        corners = self.vertices[self.quads]
        area = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        normals = np.zeros_like(self.vertices)
        for k in range(4):
            np.add.at(normals, self.quads[:, k], area)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def contour_chain(self, point: np.ndarray, allowed: np.ndarray) -> tuple[int, np.ndarray]:
        """A contour landmark and the vertices over which it slides, from the face outwards.

        Args:
          point: (x, y) mm of the landmark seen from the front, x <= 0.
          allowed: [V] bool, the outer skin without the ears.

        Returns:
          The landmark's vertex and the chain [C].
        """
        allowed = allowed & (self.vertices[:, 2] > marks.CONTOUR_BACK_Z)
        pivot = np.array([0.0, max(point[1], marks.CONTOUR_PIVOT_Y)])
        reach = np.linalg.norm(point - pivot)
        outward = (point - pivot) / reach
        offset = self.vertices[:, :2] - pivot
        along, off_plane = offset @ outward, np.abs(offset @ [-outward[1], outward[0]])

        seen = np.flatnonzero(allowed & (self.vertex_normals()[:, 2] > marks.CONTOUR_FACING))
        landmark = int(seen[np.hypot(along - reach, off_plane)[seen].argmin()])
        depth = self.vertices[landmark, 2] - self.vertices[:, 2]
        near = allowed & (off_plane < marks.CONTOUR_OFF_PLANE_MM)
        near &= (along > reach - marks.CONTOUR_INSIDE_MM) & (depth < marks.CONTOUR_BEHIND_MM)
        near[landmark] = True
        chain = np.flatnonzero(near)
        return landmark, chain[np.argsort((along - self.vertices[:, 2])[chain], kind="stable")]
