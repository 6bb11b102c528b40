"""Area-weighted vertex normals by ordered one-ring gathers, with a gradient that gathers too."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class OneRing:
    """The ordered neighbours of each vertex, as closed rings of a common length D.

    Each pair of neighbours (p_k, p_(k+1)) along the ring of vertex v, the last with the first, is a
    triangle of v. A ring that is open (v on the boundary) or in several pieces is closed through v
    itself; one shorter than D repeats its last vertex. Such pairs span no area.

    Attributes:
      neighbours: [V, D] int32, counter-clockwise as seen from outside; a vertex in no triangle has
        only itself.
      is_edge: [V, D] bool; whether v, `neighbours[v, k]` and its successor (the last one's is the
        first) are a triangle, and not a closure or a repetition.
    """

    neighbours: np.ndarray
    is_edge: np.ndarray


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
    rings = []
    for v, successors in enumerate(opposite):
        fans = _fans(successors)
        if len(fans) == 1 and fans[0][0] == fans[0][-1]:
            rings.append(fans[0][:-1])
        else:
            rings.append([u for fan in fans for u in [v, *fan]] or [v])
    depth = max(map(len, rings), default=1)
    neighbours = np.array([ring + ring[-1:] * (depth - len(ring)) for ring in rings], np.int32)
    neighbours = neighbours.reshape(num_vertices, depth)
    following = np.roll(neighbours, -1, axis=1)
    own = np.arange(num_vertices)[:, None]
    is_edge = (neighbours != following) & (neighbours != own) & (following != own)
    return OneRing(neighbours, is_edge)


def _cross(a, b):
    """Cross product along axis 1 of [V, 3, N]."""
    ax, ay, az = tf.unstack(a, axis=1)
    bx, by, bz = tf.unstack(b, axis=1)
    return tf.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _area_normals(vertices, one_ring):
    """Sum of the area vectors (twice the area long) of each vertex's triangles, [V, 3, N]."""
    columns = [tf.constant(column) for column in one_ring.neighbours.T]

    def pairs(values):
        ring = [tf.gather(values, column) for column in columns]
        return zip(ring, ring[1:] + ring[:1])

    @tf.custom_gradient
    def area_normals(vertices):
        def gradient(upstream):
            # The area vector of triangle (u, a, b) is added to three normals, so a step du changes
            # the loss by (g_u + g_a + g_b) · (du × (a − b)): a sum over the ring of u again.
            masks = tf.unstack(tf.constant(one_ring.is_edge.T[..., None, None], upstream.dtype))
            terms = zip(pairs(vertices), pairs(upstream), masks)
            return tf.add_n(
                [_cross(upstream + g + h, (b - a) * mask) for (a, b), (g, h), mask in terms]
            )

        # Relative to the vertex: products of absolute positions would cancel in float32.
        return tf.add_n([_cross(a - vertices, b - vertices) for a, b in pairs(vertices)]), gradient

    return area_normals(vertices)


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
    normals = _area_normals(vertices, one_ring)
    squared = tf.reduce_sum(normals**2, axis=1, keepdims=True)
    degenerate = squared < 1e-20
    scale = tf.math.rsqrt(tf.where(degenerate, tf.ones_like(squared), squared))
    return normals * tf.where(degenerate, tf.zeros_like(scale), scale)
