"""Exact z-buffer rasteriser in plain TensorFlow, for pictures, synthetic data and pixel losses.

No custom op and no `py_function`: it runs in a `tf.function` and in a SavedModel, but not under
XLA, since the number of (triangle, pixel) pairs that it tests depends on the mesh. Conventions
(pixel centres, inclusive edges, perspective-correct barycentrics) are those of tensorflow-graphics'
`RasterizeTriangles`.
"""

import tensorflow as tf

from fml_tf.rendering.camera import NEAR_MM, PerspectiveCamera, project


class Fragments(tf.experimental.ExtensionType):
    """What each pixel of a crop, or of N crops, shows.

    Attributes:
      triangle_ids: [..., H, W] int32, -1 where the pixel is empty.
      barycentrics: [..., H, W, 3], perspective-correct weights of the triangle's corners in the
        order of `triangles`; zero where empty. Differentiable in the vertices.
      depth: [..., H, W] mm along the viewing axis (−z), infinite where empty. Differentiable too.
    """

    triangle_ids: tf.Tensor
    barycentrics: tf.Tensor
    depth: tf.Tensor


def _screen_table(vertices, camera):
    """u, v and depth of vertices [..., V, 3], in one table [..., V, 3].

    A vertex that cannot be seen (nearer than the near plane, or not finite) has depth 0.
    """
    points = tf.reshape(vertices, [-1, 3])
    position = project(points[:, :, None], camera)[..., 0]
    depth = -points[:, 2:]
    table = tf.concat([position, depth], axis=1)
    visible = (depth > NEAR_MM) & tf.reduce_all(tf.math.is_finite(table), axis=1, keepdims=True)
    table = tf.where(visible, table, tf.zeros_like(table))
    return tf.reshape(table, tf.shape(vertices))


def _corners(table, corner_vertices):
    """Gathers three vertices each, [P, 3] int32, from a table [V, 3]: [P, 9]."""
    return tf.reshape(tf.gather(table, corner_vertices), [-1, 9])


def _columns(table):
    """Lays [P, C] out by column, C times [P], in which arithmetic is fast."""
    return tf.unstack(tf.transpose(table))


def _pixel_boxes(corners, camera):
    """First column, first row, columns and rows of the pixel centres in each triangle's box.

    Returns [F, 4] int32; there are no columns, or no rows, where a triangle shows no pixel centre,
    and where a corner cannot be seen: a triangle that crosses the near plane is dropped whole.
    """
    u0, v0, depth0, u1, v1, depth1, u2, v2, depth2 = _columns(corners)

    def least(a, b, c):
        return tf.minimum(tf.minimum(a, b), c)

    def span(a, b, c, size):
        low, high = least(a, b, c), -least(-a, -b, -c)
        first = tf.clip_by_value(tf.math.ceil(low - 0.5), 0, size)
        last = tf.clip_by_value(tf.floor(high - 0.5), -1, size - 1)
        first, last = tf.cast(first, tf.int32), tf.cast(last, tf.int32)
        return first, tf.maximum(last - first + 1, 0)

    column, columns = span(u0, u1, u2, camera.width)
    row, rows = span(v0, v1, v2, camera.height)
    columns = tf.where(least(depth0, depth1, depth2) > 0, columns, 0)
    return tf.stack([column, row, columns, rows], axis=1)


def _edge_functions(corners, column, row):
    """Twice the signed areas that pixel centres span with the edges opposite to corners 0, 1, 2.

    Relative to the pixel, so that the two triangles at an edge compute the same two products and
    get exactly opposite values: no pixel of a closed surface falls between them, in any precision.

    Args:
      corners: nine [P], the columns of `_corners` for the triangle of each pixel.
      column: [P] int32.
      row: [P] int32.

    Returns:
      Three [P], all of one sign inside the triangle, and the three depths [P].
    """
    u0, v0, depth0, u1, v1, depth1, u2, v2, depth2 = corners
    centre_u = tf.cast(column, u0.dtype) + 0.5
    centre_v = tf.cast(row, u0.dtype) + 0.5
    u0, u1, u2 = u0 - centre_u, u1 - centre_u, u2 - centre_u
    v0, v1, v2 = v0 - centre_v, v1 - centre_v, v2 - centre_v
    edges = [u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0]
    return edges, [depth0, depth1, depth2]


def _nearest_of_one(corners, camera, cull_backfaces):
    """Index of the nearest triangle at each pixel, [H·W] int32, -1 where there is none."""
    boxes = _pixel_boxes(corners, camera)
    # One candidate a pixel of a triangle's box. Counting each triangle's pixels from its index
    # times 2³² up yields, in one op, both the triangle of a candidate and its place in the box.
    begin = tf.bitwise.left_shift(tf.range(tf.shape(boxes, tf.int64)[0]), 32)
    count = tf.reduce_prod(tf.cast(boxes[:, 2:], tf.int64), axis=1)
    candidates = tf.ragged.range(begin, begin + count).flat_values
    triangle_ids = tf.bitwise.right_shift(candidates, 32)
    place = tf.cast(tf.bitwise.bitwise_and(candidates, 2**32 - 1), tf.int32)

    column, row, columns, _ = _columns(tf.gather(boxes, triangle_ids))
    row += place // columns
    column += place % columns
    edges, depths = _edge_functions(_columns(tf.gather(corners, triangle_ids)), column, row)
    total = edges[0] + edges[1] + edges[2]
    # With v down, a triangle that is counter-clockwise to the viewer has a negative area.
    inside = (edges[0] <= 0) & (edges[1] <= 0) & (edges[2] <= 0) & (total < 0)
    if not cull_backfaces:
        inside |= (edges[0] >= 0) & (edges[1] >= 0) & (edges[2] >= 0) & (total > 0)

    # The bits of a positive float32 order as an integer, so that the least key is the nearest
    # triangle, and of equally near ones that with the lowest index.
    depth = total / sum(edge / depth for edge, depth in zip(edges, depths))
    bits = tf.bitcast(tf.cast(depth, tf.float32), tf.int32)
    key = tf.bitwise.left_shift(tf.cast(bits, tf.int64), 32) + triangle_ids
    chosen = tf.where(inside)[:, 0]
    pixel = tf.gather(row * camera.width + column, chosen)
    nearest = tf.math.unsorted_segment_min(
        tf.gather(key, chosen), pixel, camera.height * camera.width
    )
    empty = nearest == tf.int64.max
    return tf.where(empty, -1, tf.cast(tf.bitwise.bitwise_and(nearest, 2**32 - 1), tf.int32))


def _nearest(table, triangles, camera, cull_backfaces):
    """`nearest_triangles` from the table of `_screen_table`."""

    def nearest_of_one(frame):
        return _nearest_of_one(_corners(frame, triangles), camera, cull_backfaces)

    table = tf.stop_gradient(table)
    if table.shape.rank == 2:
        return tf.reshape(nearest_of_one(table), [camera.height, camera.width])
    triangle_ids = tf.map_fn(nearest_of_one, table, fn_output_signature=tf.int32)
    return tf.reshape(triangle_ids, [-1, camera.height, camera.width])


def nearest_triangles(vertices, triangles, camera: PerspectiveCamera, cull_backfaces: bool = False):
    """Finds the nearest triangle at each pixel centre, and no more: see `rasterize`.

    Returns:
      [..., H, W] int32, -1 where a pixel is empty.
    """
    table = _screen_table(tf.convert_to_tensor(vertices), camera)
    return _nearest(table, tf.convert_to_tensor(triangles), camera, cull_backfaces)


def rasterize(vertices, triangles, camera: PerspectiveCamera, cull_backfaces: bool = False):
    """Finds the nearest triangle at each pixel centre.

    A pixel centre on an edge belongs to both triangles; equally near triangles yield the one with
    the lowest index. Triangles that are edge-on, or reach nearer than `NEAR_MM`, are left out.

    Args:
      vertices: [V, 3] mm, camera space, float32 or float64; or [N, V, 3], of N frames.
      triangles: [F, 3] int32, counter-clockwise seen from outside.
      camera: the intrinsics; its width W and height H are those of the result.
      cull_backfaces: leave out triangles seen from inside.

    Returns:
      Fragments, in the dtype of the vertices, [H, W] or [N, H, W].
    """
    vertices, triangles = tf.convert_to_tensor(vertices), tf.convert_to_tensor(triangles)
    table = _screen_table(vertices, camera)
    triangle_ids = _nearest(table, triangles, camera, cull_backfaces)
    size = tf.shape(triangle_ids)
    filled = tf.reshape(triangle_ids >= 0, [-1])

    # The frames' pixels, and their vertices, in one row.
    pixel = tf.range(tf.size(triangle_ids))
    column, row = pixel % camera.width, pixel // camera.width % camera.height
    frame = pixel // (camera.width * camera.height)
    corner_vertices = tf.gather(triangles, tf.maximum(tf.reshape(triangle_ids, [-1]), 0))
    corner_vertices += frame[:, None] * tf.shape(vertices)[-2]
    corners = _columns(_corners(tf.reshape(table, [-1, 3]), corner_vertices))
    edges, depths = _edge_functions(corners, column, row)
    edges = tf.where(filled, tf.stack(edges), 1.0)  # keeps empty pixels from 0/0
    # Screen-space weights are divided by depth for perspective.
    weights = edges / tf.where(filled, tf.stack(depths), 1.0)
    weight = tf.reduce_sum(weights, axis=0)
    barycentrics = tf.where(filled, weights / weight, 0.0)
    depth = tf.reduce_sum(edges, axis=0) / weight
    infinity = tf.constant(float("inf"), depth.dtype)
    return Fragments(
        triangle_ids=triangle_ids,
        barycentrics=tf.reshape(tf.transpose(barycentrics), tf.concat([size, [3]], axis=0)),
        depth=tf.reshape(tf.where(filled, depth, infinity), size),
    )


def interpolate(attributes, triangles, fragments: Fragments):
    """Interpolates vertex attributes over the pixels, correctly in perspective.

    Args:
      attributes: [V, C] of the fragments' dtype; or [N, V, C], of N frames.
      triangles: [F, 3] int32, as rasterised.
      fragments: of `rasterize`.

    Returns:
      [..., H, W, C], zero where a pixel is empty; differentiable in attributes and barycentrics.
    """
    attributes = tf.convert_to_tensor(attributes)
    corners = tf.gather(triangles, tf.maximum(fragments.triangle_ids, 0))
    return sum(
        tf.gather(attributes, corners[..., k], batch_dims=attributes.shape.rank - 2)
        * fragments.barycentrics[..., k, None]
        for k in range(3)
    )
