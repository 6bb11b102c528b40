"""Catmull-Clark subdivision as a linear operator.

The operator depends on the faces alone, so that the mean shape, displacements, texture coordinates
and soft masks of a template all pass through the same sparse matrix.
"""

import numpy as np
from scipy import sparse


def catmull_clark(faces: np.ndarray, num_vertices: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One Catmull-Clark step [Catmull and Clark 1978] of a manifold mesh, open or closed.

    New vertices are ordered: the old vertices (moved), one point an edge, one point a face; vertex
    i of the coarse mesh is therefore vertex i of every finer mesh. Boundary curves are the cubic
    B-splines of the boundary's own vertices.

    Args:
      faces: [F, 4] or [F, 3] int vertex indices, or a list of such arrays (a mixed mesh).
      num_vertices: V; every vertex must belong to a face.

    Returns:
      The operator [V', V] float64 (rows sum to 1) and the new faces [F', 4] int32, all quads, of
      the same orientation as the old ones.

    Raises:
      ValueError: an edge with more than two faces, a vertex without a face, an index out of range.
    """
    groups = [np.asarray(g) for g in (faces if isinstance(faces, list) else [faces])]
    # Every face's corners as flat lists: the face, its size, this vertex, and the places of the
    # face's next and previous corner in these lists.
    sizes = np.concatenate([np.full(len(g), g.shape[1]) for g in groups])
    num_faces = len(sizes)
    corner_face = np.repeat(np.arange(num_faces), sizes)
    corner_size = sizes[corner_face]
    corner_vertex = np.concatenate([g.reshape(-1) for g in groups])
    if corner_vertex.min() < 0 or corner_vertex.max() >= num_vertices:
        raise ValueError(f"faces index vertices outside [0, {num_vertices})")
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.arange(len(corner_vertex)) - first
    next_corner = first + (place + 1) % corner_size
    previous_corner = first + (place - 1) % corner_size

    face_degree = np.bincount(corner_vertex, minlength=num_vertices)
    if (face_degree == 0).any():
        raise ValueError(f"vertex {np.flatnonzero(face_degree == 0)[0]} belongs to no face")
    directed = np.stack([corner_vertex, corner_vertex[next_corner]], axis=1)
    edges, corner_edge, edge_faces = np.unique(
        np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    corner_edge = corner_edge.reshape(-1)
    if (edge_faces > 2).any():
        a, b = edges[np.flatnonzero(edge_faces > 2)[0]]
        raise ValueError(f"edge ({a}, {b}) has more than two faces")
    num_edges = len(edges)
    on_boundary = edge_faces == 1

    def matrix(rows, columns, values, shape):
        return sparse.csr_matrix((np.broadcast_to(values, len(rows)), (rows, columns)), shape=shape)

    face_points = matrix(corner_face, corner_vertex, 1 / corner_size, (num_faces, num_vertices))

    edge_index = np.arange(num_edges)
    midpoints = matrix(np.tile(edge_index, 2), edges.T.reshape(-1), 0.5, (num_edges, num_vertices))
    edge_face_mean = matrix(corner_edge, corner_face, 0.5, (num_edges, num_faces)) @ face_points
    inner = sparse.diags((~on_boundary).astype(float))
    edge_points = inner @ (0.5 * midpoints + 0.5 * edge_face_mean)
    edge_points += sparse.diags(on_boundary.astype(float)) @ midpoints

    # Interior vertex of valence n: (mean of face points + 2 mean of midpoints + (n - 3) v) / n.
    valence = np.bincount(edges.reshape(-1), minlength=num_vertices)
    shape = (num_vertices, num_faces)
    face_mean = matrix(corner_vertex, corner_face, 1 / face_degree[corner_vertex], shape)
    face_mean = face_mean @ face_points
    ends = edges.T.reshape(-1)
    edge_mean = matrix(ends, np.tile(edge_index, 2), 1 / valence[ends], (num_vertices, num_edges))
    edge_mean = edge_mean @ midpoints
    smooth = sparse.diags(1 / valence) @ (face_mean + 2 * edge_mean)
    smooth += sparse.diags((valence - 3) / valence)

    # Boundary vertex: 3/4 v + 1/8 of its two boundary neighbours; where boundaries touch it stays.
    boundary = edges[on_boundary]
    boundary_degree = np.bincount(boundary.reshape(-1), minlength=num_vertices)
    regular = (boundary_degree == 2).astype(float)
    neighbours = matrix(
        boundary.T.reshape(-1),
        boundary[:, ::-1].T.reshape(-1),
        1 / 8,
        (num_vertices, num_vertices),
    )
    curve = sparse.diags(regular) @ neighbours + sparse.diags(1 - regular / 4)
    is_inner = (boundary_degree == 0).astype(float)
    vertex_points = sparse.diags(is_inner) @ smooth + sparse.diags(1 - is_inner) @ curve

    operator = sparse.vstack([vertex_points, edge_points, face_points]).tocsr()
    operator.eliminate_zeros()

    new_faces = np.stack(
        [
            corner_vertex,
            num_vertices + corner_edge,
            num_vertices + num_edges + corner_face,
            num_vertices + corner_edge[previous_corner],
        ],
        axis=1,
    )
    return operator, new_faces.astype(np.int32)


def triangulate(quads: np.ndarray) -> np.ndarray:
    """Splits quads [F, 4] along the diagonal 0-2: triangles [2F, 3] int32, same orientation."""
    quads = np.asarray(quads)
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).astype(np.int32)
