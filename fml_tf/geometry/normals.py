"""Area-weighted vertex normals by ordered one-ring gathers, with a gradient that gathers too."""

import dataclasses

import numpy as np
import tensorflow as tf

from fml_tf.xla import xla_cluster


@dataclasses.dataclass(frozen=True, eq=False)
class OneRing:
    """The ordered neighbours of each vertex, as closed rings of a common, even length D.

    Each pair of neighbours (p_k, p_(k+1)) along the ring of vertex v, the last with the first, is a
    triangle of v. A ring that is open (v on the boundary) or in several pieces is closed through v
    itself; one shorter than D repeats its last vertex. Such pairs span no area.

    Attributes:
      neighbours: [V, D] int32, counter-clockwise as seen from outside; a vertex in no triangle has
        only itself.
      seams: [S, 3] int32, one for each piece of a ring that is closed through its vertex: the
        vertex, the piece's first and its last neighbour.
    """

    neighbours: np.ndarray
    seams: np.ndarray


def _fans(successors):
    """Chains the directed edges {a: [b, ...]} opposite to a vertex into fans [a, b, c, ...].

    A closed fan ends with the vertex that it began with.
    """
    successors = {a: list(following) for a, following in successors.items()}
    targets = {b for following in successors.values() for b in following}
    # Open fans start where no edge arrives; what is left after them is closed.
    starts = [a for a in successors if a not in targets] + list(successors)
    fans = []
    for start in starts:
        while successors[start]:
            fan = [start]
            while successors.get(fan[-1]):
                fan.append(successors[fan[-1]].pop(0))
            fans.append(fan)
    return fans


def build_one_ring(triangles, num_vertices: int) -> OneRing:
    """Orders the neighbours of every vertex.

    Args:
      triangles: [F, 3] int, counter-clockwise seen from outside; any mesh, closed or not, manifold
        or not.
      num_vertices: V.

    Returns:
      The rings.

    Raises:
      ValueError: triangles are not [F, 3], or name a vertex outside [0, V).
    """
    triangles = np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles must be [F, 3], got {triangles.shape}")
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < num_vertices:
        raise ValueError(f"triangles name vertices outside [0, {num_vertices})")
    opposite = [{} for _ in range(num_vertices)]
    for corners in triangles.tolist():
        for k in range(3):
            v, a, b = corners[k], corners[k - 2], corners[k - 1]
            opposite[v].setdefault(a, []).append(b)
    rings, seams = [], []
    for v, successors in enumerate(opposite):
        fans = _fans(successors)
        if len(fans) == 1 and fans[0][0] == fans[0][-1]:
            rings.append(fans[0][:-1])
        else:
            rings.append([u for fan in fans for u in [v, *fan]] or [v])
            seams += [(v, fan[0], fan[-1]) for fan in fans]
    depth = 2 * ((max(map(len, rings), default=1) + 1) // 2)
    neighbours = [ring + ring[-1:] * (depth - len(ring)) for ring in rings]
    return OneRing(
        np.array(neighbours, np.int32).reshape(num_vertices, depth),
        np.array(seams, np.int32).reshape(-1, 3),
    )


def _cross(a, b):
    """Cross product along axis 1 of [V, 3, N]."""
    ax, ay, az = tf.unstack(a, axis=1)
    bx, by, bz = tf.unstack(b, axis=1)
    return tf.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _gather_ring(values, ring):
    """The values [V, 3, N] of the k-th neighbours, a list over k; ring is [D, V]."""
    return [tf.gather(values, neighbour) for neighbour in tf.unstack(ring)]


# Both sums are XLA clusters of their own: fused, they take a third of the time of single ops, while
# inside a larger cluster XLA would compute them again for each consumer of each component.
@xla_cluster
def _area_normals(vertices, ring):
    """Sum of the area vectors (twice the area long) of each vertex's triangles, [V, 3, N]."""
    neighbours = _gather_ring(vertices, ring)
    following = neighbours[1:] + neighbours[:1]
    # Σ q_k × q_(k+1) taken two by two: q_k × (q_(k+1) − q_(k−1)) for even k, with q relative to the
    # vertex, since products of absolute positions would cancel in float32.
    return tf.add_n(
        [
            _cross(neighbours[k] - vertices, following[k] - neighbours[k - 1])
            for k in range(0, len(neighbours), 2)
        ]
    )


@xla_cluster
def _area_normals_gradient(vertices, upstream, ring, seams):
    """Gradient of `_area_normals` in the vertices, [V, 3, N].

    The area vector of triangle (u, a, b) is added to three normals, so that a step du changes the
    loss by (g_u + g_a + g_b) · (du × (a − b)). Summed over the ring of u, g_u drops out and what is
    left is g_k × (p_(k+1) − p_(k−1)). Pairs that only close a ring are taken off again.
    """
    neighbours, gradients = _gather_ring(vertices, ring), _gather_ring(upstream, ring)
    following = neighbours[1:] + neighbours[:1]
    total = tf.add_n(
        [_cross(gradients[k], following[k] - neighbours[k - 1]) for k in range(len(neighbours))]
    )
    vertex, first, last = _gather_ring(vertices, seams)
    at_vertex, at_first, at_last = _gather_ring(upstream, seams)
    closures = _cross(2.0 * at_vertex + at_first, first - vertex)
    closures += _cross(2.0 * at_vertex + at_last, vertex - last)
    return tf.tensor_scatter_nd_sub(total, seams[0][:, None], closures)


def vertex_normals(vertices, one_ring: OneRing):
    """Area-weighted unit normals of vertices.

    Args:
      vertices: [V, 3, N] in any unit that keeps the area about a vertex above 1e-10.
      one_ring: rings of the mesh, of `build_one_ring`.

    Returns:
      [V, 3, N] unit length, pointing outwards; zero, with zero gradient, where a vertex has no
      triangle or only degenerate ones.
    """
    vertices = tf.convert_to_tensor(vertices)
    ring, seams = tf.constant(one_ring.neighbours.T), tf.constant(one_ring.seams.T)

    @tf.custom_gradient
    def area_normals(vertices):
        def gradient(upstream):
            return _area_normals_gradient(vertices, upstream, ring, seams)

        return _area_normals(vertices, ring), gradient

    normals = area_normals(vertices)
    squared = tf.reduce_sum(normals**2, axis=1, keepdims=True)
    degenerate = squared < 1e-20
    scale = tf.math.rsqrt(tf.where(degenerate, tf.ones_like(squared), squared))
    return normals * tf.where(degenerate, tf.zeros_like(scale), scale)
