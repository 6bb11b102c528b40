"""The coarse deformation graph that carries the learned shape (paper, section 3.2, figure 3).

The graph's nodes are vertices of the template, spread along the surface of the face *with its
mouth slightly open*. Each vertex follows the few nodes that are near along the surface, by linear
blend skinning (equation 3): v = v̄ + S·t, where S acts alike on x, y and z.

The paper decimates the mesh; we sample farthest points instead, which needs no mesh surgery, keeps
nodes on vertices and spreads them evenly in a metric of our choice. That metric is denser where
images constrain the shape: in the region "face", and again on lips and eyelids. Pockets that no
image shows (the bag of the mouth, eye sockets, nostrils) carry no nodes, or they would join the two
lips and the two lids from behind: a pocket's vertex follows whatever the nearest vertex on its rim
follows.
"""

import dataclasses
import os
import pathlib
import zipfile

import numpy as np
import scipy.sparse
from absl import logging
from scipy.sparse.csgraph import connected_components, dijkstra

from fml_tf.files.atomic import atomic_path
from fml_tf.geometry import topology
from fml_tf.template.face_template import FaceTemplate

# Where lids and lips really meet: nodes sit on these corners, so that no other node has to reach
# around one. Landmarks of docs/conventions.md.
_CORNER_LANDMARKS = (36, 39, 42, 45, 48, 54)
_FORMAT = 1  # of the cached file; raise it when the construction changes


@dataclasses.dataclass(frozen=True, eq=False)
class DeformationGraph:
    """Nodes on a template's vertices and the skinning of all its vertices to them.

    Attributes:
      node_vertices: [G] int32, the template's vertex under each node.
      node_positions: [G, 3] float32, mm, model space, on the mean shape (mouth closed); ḡ.
      skinning_indices: [V, n] int32, the nodes that each vertex follows, nearest first. Where
        fewer than n are near, the nearest is repeated with weight 0.
      skinning_weights: [V, n] float32, non-negative, rows sum to 1.
      edges: [E, 2] int32, i < j, the pairs of nodes that share a skinned vertex: N_i of the
        smoothness term (equation 9).
    """

    node_vertices: np.ndarray
    node_positions: np.ndarray
    skinning_indices: np.ndarray
    skinning_weights: np.ndarray
    edges: np.ndarray

    @property
    def num_nodes(self) -> int:
        """G."""
        return len(self.node_vertices)

    def skinning_matrix(self) -> scipy.sparse.csr_array:
        """Returns W, [V, G] float32 sparse; S of equation (3) is W ⊗ I₃."""
        return _skinning_matrix(self.skinning_indices, self.skinning_weights, self.num_nodes)


def build_deformation_graph(
    template: FaceTemplate, num_nodes: int = 521, nodes_per_vertex: int = 4, detail: float = 2.0
) -> DeformationGraph:
    """Spreads nodes over the template's open-mouth shape and skins its vertices to them.

    Nodes: the corners of eyes and mouth, then farthest points along the surface. Weights:
    (1 − d/d_max)², normalised, where d is the distance along the surface and d_max that of the
    first node left out (embedded deformation, Sumner et al. 2007), so that they change continuously
    from vertex to vertex.

    Args:
      template: the face; `mean_shape + mouth_opening` is where distances are measured.
      num_nodes: G, 521 in the paper.
      nodes_per_vertex: n, how many nodes a vertex follows at most.
      detail: how many times closer together nodes are in the region "face" than elsewhere, and
        again on "lips" and "eyelids" than in the rest of the face. Ours; 1 spreads evenly.

    Returns:
      The graph; the same for the same arguments.

    Raises:
      ValueError: `num_nodes` is smaller than the number of corners, larger than the number of
        vertices outside of pockets, or too small for one node on each separate part of the mesh.
    """
    pocket = pockets(template)
    open_vertices = np.flatnonzero(~pocket)
    corners = np.intersect1d(template.landmark_vertices[list(_CORNER_LANDMARKS)], open_vertices)
    if not len(corners) <= num_nodes <= len(open_vertices):
        raise ValueError(
            f"num_nodes must be from {len(corners)} to the {len(open_vertices)} vertices of "
            f"{template.name} outside of mouth and eye sockets, not {num_nodes}"
        )
    shape = template.mean_shape.astype(np.float64) + template.mouth_opening
    density = detail ** (
        template.regions["face"].astype(float)
        + (template.regions["lips"] | template.regions["eyelids"])
    )
    whole_surface = _surface_graph(shape, template.triangles, density)
    surface = whole_surface[open_vertices][:, open_vertices]
    nodes, radius = _farthest_points(surface, np.searchsorted(open_vertices, corners), num_nodes)
    indices, distances = _nearest_nodes(surface, nodes, nodes_per_vertex, limit=3 * radius)
    nodes = open_vertices[nodes]
    weights = (1 - distances[:, :-1] / distances[:, -1:]) ** 2
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    _, _, rim = dijkstra(
        whole_surface, indices=open_vertices, min_only=True, return_predecessors=True
    )
    model = np.searchsorted(open_vertices, rim)
    indices, weights = indices[model], weights[model]

    follows = _skinning_matrix(indices, weights > 0, num_nodes)
    pairs = scipy.sparse.triu(follows.T @ follows, k=1).tocoo()
    pairs = np.stack([pairs.row, pairs.col], axis=1)
    return DeformationGraph(
        node_vertices=nodes.astype(np.int32),
        node_positions=template.mean_shape[nodes].astype(np.float32),
        skinning_indices=indices,
        skinning_weights=weights,
        edges=pairs[np.lexsort(pairs.T[::-1])].astype(np.int32),
    )


def load_or_build_graph(
    template: FaceTemplate,
    num_nodes: int = 521,
    cache_dir: str | os.PathLike | None = None,
    nodes_per_vertex: int = 4,
    detail: float = 2.0,
) -> DeformationGraph:
    """Returns `build_deformation_graph(...)`, from a file of an earlier run where there is one.

    Args:
      template: the face; its content's hash is part of the file's name.
      num_nodes: see `build_deformation_graph`, as for the next two.
      cache_dir: folder of the files, made if missing; `fml_tf` in the user's cache folder if None.
      nodes_per_vertex: n.
      detail: density of the nodes in the face.

    Returns:
      The graph. A damaged file is built again and replaced; where none can be written, a warning
      says so.

    Raises:
      ValueError: as `build_deformation_graph`.
    """
    if cache_dir is None:
        user_cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        cache_dir = pathlib.Path(user_cache) / "fml_tf"
    settings = f"v{_FORMAT}-{num_nodes}-{nodes_per_vertex}-{detail:g}-{template.content_hash()}"
    path = pathlib.Path(cache_dir) / f"deformation_graph-{settings}.npz"
    try:
        return _load(path, template, num_nodes, nodes_per_vertex)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        graph = build_deformation_graph(template, num_nodes, nodes_per_vertex, detail)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                np.savez_compressed(temporary, **dataclasses.asdict(graph))
        except OSError as error:  # no home, or a full one: the graph is built each time
            logging.warning("the deformation graph could not be cached: %s", error)
        return graph


def _load(path, template, num_nodes, nodes_per_vertex) -> DeformationGraph:
    with path.open("rb") as file, np.load(file) as arrays:
        fields = dataclasses.fields(DeformationGraph)
        graph = DeformationGraph(**{field.name: arrays[field.name] for field in fields})
    skinning = (template.num_vertices, nodes_per_vertex)
    sound = (
        graph.node_vertices.shape == (num_nodes,)
        and np.array_equal(graph.node_positions, template.mean_shape[graph.node_vertices])
        and graph.skinning_indices.shape == graph.skinning_weights.shape == skinning
        and 0 <= graph.skinning_indices.min() <= graph.skinning_indices.max() < num_nodes
        and np.allclose(graph.skinning_weights.sum(axis=1), 1, atol=1e-5)
    )
    if not sound:
        raise ValueError(f"{path} does not fit its template")
    return graph


def pockets(template: FaceTemplate) -> np.ndarray:
    """Returns [V]: the parts outside of the region "face" that the face closes in.

    They do not reach the mesh's border and are smaller than the face (a closed head's scalp is
    not).
    """
    outside = np.flatnonzero(~template.regions["face"])
    adjacency = topology.vertex_adjacency(template.triangles, template.num_vertices)
    count, part = connected_components(adjacency[outside][:, outside])
    border = np.isin(outside, topology.boundary_edges(template.triangles))
    closed = np.bincount(part, weights=border, minlength=count) == 0
    small = np.bincount(part, minlength=count) < template.regions["face"].sum()
    pocket = np.zeros(template.num_vertices, bool)
    pocket[outside] = (closed & small)[part]
    return pocket


def _skinning_matrix(indices, weights, num_nodes) -> scipy.sparse.csr_array:
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    kept = weights.reshape(-1) > 0
    entries = weights.reshape(-1)[kept], (rows[kept], indices.reshape(-1)[kept])
    return scipy.sparse.csr_array(entries, shape=(len(indices), num_nodes))


def _surface_graph(
    shape: np.ndarray, triangles: np.ndarray, density: np.ndarray
) -> scipy.sparse.csr_array:
    """Returns [V, V] lengths times density of the edges and of both diagonals of each quad.

    A quad is any two triangles with a common edge: were only the mesh's edges there, the way across
    would depend on how quads were cut into triangles.
    """
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    opposite = triangles[:, [2, 0, 1]].reshape(-1)
    order = np.lexsort(sides.T)
    sides, opposite = sides[order], opposite[order]
    twins = np.flatnonzero((sides[1:] == sides[:-1]).all(axis=1))
    diagonals = np.stack([opposite[twins], opposite[twins + 1], opposite[twins]], axis=1)
    lengths = topology.edge_lengths(shape, np.concatenate([triangles, diagonals]))
    scale = scipy.sparse.diags_array(np.sqrt(density))
    return (scale @ lengths @ scale).tocsr()


def _farthest_points(
    surface: scipy.sparse.csr_array, seeds: np.ndarray, count: int
) -> tuple[np.ndarray, float]:
    """Adds to the seeds, one by one, the vertex farthest from all; returns them and the radius."""
    nodes = list(seeds)
    distances = dijkstra(surface, indices=seeds, min_only=True)
    while len(nodes) < count:
        nodes.append(int(distances.argmax()))
        reach = dijkstra(surface, indices=nodes[-1], limit=distances[nodes[-1]])
        distances = np.minimum(distances, reach)
    radius = distances.max()
    if not np.isfinite(radius):
        raise ValueError(f"{count} nodes do not reach every connected part of the mesh")
    return np.array(nodes), radius


def _nearest_nodes(surface, nodes, count, limit):
    """Returns each vertex's nearest nodes [V, count] and their distances [V, count + 1].

    The last distance is that of the first node left out; it also stands where there are fewer than
    `count` nodes within the limit.
    """
    vertex, node, distance = [], [], []
    for chunk in np.array_split(np.arange(len(nodes)), max(1, len(nodes) // 32)):
        ways = dijkstra(surface, indices=nodes[chunk], limit=limit)
        row, column = np.nonzero(np.isfinite(ways))
        vertex.append(column)
        node.append(chunk[row])
        distance.append(ways[row, column])
    vertex, node, distance = map(np.concatenate, (vertex, node, distance))

    order = np.lexsort([distance, vertex])
    vertex, node, distance = vertex[order], node[order], distance[order]
    first = np.searchsorted(vertex, np.arange(surface.shape[0]))
    rank = np.arange(len(vertex)) - first[vertex]
    near = rank <= count
    indices = np.repeat(node[first][:, None], count + 1, axis=1)
    distances = np.full(indices.shape, np.inf)
    indices[vertex[near], rank[near]] = node[near]
    distances[vertex[near], rank[near]] = distance[near]

    farthest = np.where(np.isfinite(distances), distances, 0).max(axis=1)
    few = ~np.isfinite(distances[:, -1])
    distances[few, -1] = np.maximum(limit, 1.01 * farthest[few])
    return indices[:, :-1].astype(np.int32), np.minimum(distances, distances[:, -1:])
