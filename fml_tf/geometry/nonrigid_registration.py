"""Deforms a template onto a scan, so that each of its vertices gets its place on the scan.

Non-rigid iterative closest points in the manner of Amberg et al. (CVPR 2007), without a model of
faces: the template's displacement from its similar copy has to be smooth, less and less so.
"""

import numpy as np
import scipy.sparse
import trimesh
from scipy.sparse.linalg import splu

from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.robust import tukey_weights, tukey_width
from fml_tf.geometry.surface import Surface
from fml_tf.geometry.topology import boundary_edges, vertex_adjacency

# Weight of the smoothness, from stiff to loose; each is kept for a few rounds.
_STIFFNESS = np.geomspace(1000.0, 1.0, 6)
_ROUNDS = 3
# ε: of the distance along the scan, which lets points slide, beside that across it.
_SLIDING = 0.02
# A point and its place on the scan must face the same way, to within 60 degrees.
_LEAST_COSINE = 0.5
# Least spread of the distances that count, mm.
_LEAST_SIGMA = 0.3
# A vertex has a place if the scan is that near to it in the end.
_REACH = 2.0


class Scan:
    """A scan to register to: its surface, without what lies at holes and borders.

    Args:
      vertices: [V', 3] mm.
      triangles: [F', 3], counter-clockwise seen from outside.

    Raises:
      ValueError: as `Surface`.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        # Vertices that a file repeats along the seams of its texture are no border.
        merged, index = np.unique(vertices, axis=0, return_inverse=True)
        triangles = index.reshape(-1)[triangles]
        self._surface = Surface(merged, triangles)
        at_border = np.zeros(len(merged), bool)
        at_border[boundary_edges(triangles)] = True
        self._at_border = at_border[triangles].any(axis=1)

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nearest points [P, 3], unit normals [P, 3], and [P] bool: away from holes and border."""
        closest, normals = self._surface.closest_with_normals(points)
        return closest.points, normals, ~self._at_border[closest.triangles]


def register(
    vertices: np.ndarray,
    triangles: np.ndarray,
    attached: np.ndarray,
    scan: Scan,
    landmarks: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Finds the places of a template's vertices on a scan.

    The landmarks give a first similarity. Then, again and again: the nearest points of the scan are
    found, those that face another way, lie at a border or stand out by their distance (Tukey's
    biweight) lose their weight, and the vertices x solve the least squares of

      Σ w_v ((n_v·(x_v − c_v))² + ε‖x_v − c_v‖²) + Σ_l ‖x_l − p_l‖² + λ ‖L (x − S(x̄))‖²

    with the scan's points c and normals n, landmarks p, the graph Laplacian L, and the similarity S
    of the template x̄ that is nearest to the last x, so that turning and scaling cost nothing.

    Args:
      vertices: [V, 3] of the template.
      triangles: [F, 3] of the template.
      attached: [V] bool, vertices that the scan shows: not those inside of mouth or nostrils.
      scan: what to register to, in mm.
      landmarks: [L] attached vertices and [L, 3] their places, three or more.

    Returns:
      [V, 3] points on the scan; NaN where a vertex is not attached or the scan has nothing for it:
      at holes and beyond its border.

    Raises:
      ValueError: less than half of the attached vertices find a place.
    """
    places = np.full((len(vertices), 3), np.nan)
    part = _Part(np.asarray(vertices, np.float64), triangles, attached)
    marks = part.index[landmarks[0]], np.asarray(landmarks[1], np.float64)
    shape = _deform(part, scan, marks)
    points, _, fits = _correspond(part, shape, scan)
    fits &= np.linalg.norm(points - shape, axis=1) < _REACH
    if fits.sum() < attached.sum() / 2:
        raise ValueError(f"only {fits.sum()} of {attached.sum()} vertices have a place on the scan")
    places[part.rows[fits]] = points[fits]
    return places


class _Part:
    """The attached vertices of a template and those beside them, which hold its border.

    Attributes:
      rows: [P] their numbers in the template.
      index: [V] from the template's numbers to theirs.
      vertices, triangles, attached: of the part.
    """

    def __init__(self, vertices, triangles, attached):
        used = attached.copy()
        used[triangles[attached[triangles].any(axis=1)]] = True
        self.rows = np.flatnonzero(used)
        self.index = np.cumsum(used) - 1
        self.vertices, self.attached = vertices[used], attached[used]
        self.triangles = self.index[triangles[used[triangles].all(axis=1)]]


def _deform(part, scan, landmarks):
    marks, targets = landmarks
    count = len(part.vertices)
    smoothness = _smoothness(part.triangles, count)
    pinned = np.bincount(marks, minlength=count)[:, None, None] * np.eye(3)
    pulled = np.zeros((count, 3))
    np.add.at(pulled, marks, targets)
    shape = procrustes(part.vertices[marks], targets).apply(part.vertices)
    for stiffness in np.repeat(_STIFFNESS, _ROUNDS):
        points, normals, fits = _correspond(part, shape, scan)
        weights = _biweight(np.linalg.norm(points - shape, axis=1), fits)
        base = procrustes(part.vertices, shape).apply(part.vertices)
        pull = normals[:, :, None] * normals[:, None, :] + _SLIDING * np.eye(3)
        pull *= weights[:, None, None]
        matrix = scipy.sparse.kron(stiffness * smoothness, np.eye(3)) + _blocks(pull + pinned)
        right = stiffness * smoothness @ base + np.einsum("vij,vj->vi", pull, points) + pulled
        factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        shape = factor.solve(right.reshape(-1)).reshape(-1, 3)
    return shape


def _blocks(blocks):
    """The block diagonal matrix of [P, 3, 3]."""
    count = len(blocks)
    return scipy.sparse.bsr_array((blocks, np.arange(count), np.arange(count + 1)))


def _smoothness(triangles, count):
    """LᵀL [P, P] of the graph Laplacian L: a vertex minus the mean of its neighbours."""
    adjacency = vertex_adjacency(triangles, count).astype(np.float64)
    share = scipy.sparse.diags_array(1.0 / np.maximum(adjacency.sum(axis=1), 1.0))
    laplacian = scipy.sparse.eye_array(count) - share @ adjacency
    return (laplacian.T @ laplacian).tocsr()


def _correspond(part, shape, scan):
    """Nearest points and normals of the scan, and [P] bool: they may be what the vertices see."""
    points, normals, inside = scan.closest(shape)
    own = trimesh.Trimesh(shape, part.triangles, process=False).vertex_normals
    facing = np.einsum("vc,vc->v", normals, own) > _LEAST_COSINE
    return points, normals, part.attached & inside & facing


def _biweight(distances, fits):
    if not fits.any():
        return np.zeros(len(distances))
    return fits * tukey_weights(distances, tukey_width(np.median(distances[fits]), _LEAST_SIGMA))
