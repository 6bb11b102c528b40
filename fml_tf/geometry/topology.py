"""Which vertices of a triangle mesh belong together: edges, neighbours, boundaries.

`triangles` is [F, 3] of vertex indices everywhere here, `num_vertices` the V that they point into
(vertices without triangles are allowed).
"""

import numpy as np
import scipy.sparse


def edges(triangles: np.ndarray) -> np.ndarray:
    """Returns the undirected edges, [E, 2] int32, each once with i < j, sorted."""
    return np.unique(_sides(triangles), axis=0)


def boundary_edges(triangles: np.ndarray) -> np.ndarray:
    """Returns the edges that only one triangle has, [E, 2] int32, i < j, sorted."""
    unique, counts = np.unique(_sides(triangles), axis=0, return_counts=True)
    return unique[counts == 1]


def vertex_adjacency(triangles: np.ndarray, num_vertices: int) -> scipy.sparse.csr_array:
    """Returns the symmetric [V, V] bool matrix that is True where an edge joins two vertices.

    Raises:
      ValueError: a triangle points outside of the `num_vertices` vertices.
    """
    first, second = edges(triangles).T
    return _symmetric(first, second, np.ones(len(first), bool), num_vertices)


def edge_lengths(vertices: np.ndarray, triangles: np.ndarray) -> scipy.sparse.csr_array:
    """Returns the symmetric [V, V] float64 matrix of the edges' lengths.

    In the unit of `vertices` [V, 3]. It is the weighted graph that `scipy.sparse.csgraph` walks
    along the surface; edges of length 0 keep the smallest positive length, since a stored zero
    would read as "no edge".
    """
    first, second = edges(triangles).T
    lengths = np.linalg.norm(vertices[first].astype(np.float64) - vertices[second], axis=1)
    return _symmetric(first, second, np.maximum(lengths, np.finfo(float).tiny), len(vertices))


def _sides(triangles: np.ndarray) -> np.ndarray:
    sides = np.asarray(triangles, np.int32)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    sides = np.sort(sides, axis=1)
    return sides[sides[:, 0] != sides[:, 1]]


def _symmetric(first, second, values, num_vertices) -> scipy.sparse.csr_array:
    largest = max(first.max(initial=-1), second.max(initial=-1))
    if largest >= num_vertices:
        raise ValueError(f"triangles name vertex {largest} of a mesh of {num_vertices} vertices")
    row, column = np.concatenate([first, second]), np.concatenate([second, first])
    return scipy.sparse.csr_array(
        (np.concatenate([values, values]), (row, column)), shape=(num_vertices, num_vertices)
    )
