import numpy as np
import pytest
import tensorflow as tf
import trimesh

from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.rasterizer import interpolate, rasterize

CAMERA = PerspectiveCamera(focal_length_px=300.0, width=120, height=100)
BALL = trimesh.creation.icosphere(subdivisions=3, radius=90.0)
BALL_CENTRE = np.array([10.0, -5.0, -600.0])
TRIANGLES = np.asarray(BALL.faces, np.int32)
QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def ball(dtype=np.float64):
    return np.asarray(BALL.vertices + BALL_CENTRE, dtype)


def quad(left, right, bottom, top, depth=600.0):
    """Corners of a rectangle that faces the camera, given in pixels of the crop."""
    pixels = np.array([[left, bottom], [right, bottom], [right, top], [left, top]], np.float64)
    scale = depth / CAMERA.focal_length_px
    x, y = (pixels - [CAMERA.width / 2, CAMERA.height / 2]).T * scale
    return np.stack([x, -y, np.full(4, -depth)], axis=1)


def test_a_quad_fills_its_half_of_the_image_and_shares_its_diagonal():
    fragments = rasterize(quad(0, 60, 100, 0), QUAD, CAMERA)
    expected = np.zeros([100, 120], bool)
    expected[:, :60] = True
    np.testing.assert_array_equal(fragments.triangle_ids >= 0, expected)
    np.testing.assert_allclose(fragments.depth[expected], 600)
    assert np.isinf(fragments.depth[~expected]).all()
    # The diagonal from the bottom left to the top right is that of triangle 0, below, and 1.
    v, u = np.nonzero(expected)
    side = (v + 0.5) / 100 + (u + 0.5) / 60 - 1
    ids = fragments.triangle_ids.numpy()[expected]
    np.testing.assert_array_equal(ids[side > 1e-9], 0)
    np.testing.assert_array_equal(ids[side < -1e-9], 1)


def test_pixel_centres_on_the_border_are_inside_and_ties_go_to_the_lowest_index():
    vertices = quad(10.5, 20.5, 30.5, 20.5)
    fragments = rasterize(vertices, QUAD, CAMERA)
    rows, columns = np.nonzero(fragments.triangle_ids.numpy() >= 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 30, 10, 20)
    diagonal = fragments.triangle_ids.numpy()[range(30, 19, -1), range(10, 21)]
    np.testing.assert_array_equal(diagonal, 0)
    swapped = rasterize(vertices, QUAD[::-1], CAMERA).triangle_ids.numpy()
    np.testing.assert_array_equal(swapped[range(30, 19, -1), range(10, 21)], 0)


def test_depth_and_attributes_of_a_slanted_plane():
    """On a plane n·p = d the depth along the ray of a pixel is d / (n·ray)."""
    vertices = np.array(
        [[-300.0, -250, -500], [300, -250, -500], [300, 250, -900], [-300, 250, -900]]
    )
    fragments = rasterize(vertices, QUAD, CAMERA)
    normal = np.cross(vertices[1] - vertices[0], vertices[3] - vertices[0])
    v, u = np.meshgrid(np.arange(100) + 0.5, np.arange(120) + 0.5, indexing="ij")
    rays = np.stack([(u - 60) / 300, (50 - v) / 300, -np.ones_like(u)], axis=-1)
    expected = normal @ vertices[0] / (rays @ normal)
    filled = fragments.triangle_ids.numpy() >= 0
    assert filled.mean() > 0.5
    np.testing.assert_allclose(fragments.depth[filled], expected[filled], rtol=1e-12)
    points = interpolate(vertices, QUAD, fragments).numpy()
    np.testing.assert_allclose(points[filled], (rays * expected[..., None])[filled], rtol=1e-9)
    np.testing.assert_array_equal(points[~filled], 0)


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-4), (np.float64, 1e-10)])
def test_a_ball_shows_the_nearest_point_that_a_ray_meets(dtype, tolerance):
    fragments = rasterize(ball(dtype), TRIANGLES, CAMERA)
    assert fragments.depth.dtype == fragments.barycentrics.dtype == dtype
    filled = fragments.triangle_ids.numpy() >= 0
    rows, columns = np.nonzero(filled)
    rays = np.stack([columns + 0.5 - 60, 50 - (rows + 0.5), np.full(len(rows), -300.0)], axis=1)
    mesh = trimesh.Trimesh(BALL.vertices + BALL_CENTRE, BALL.faces)
    # Möller–Trumbore on all pairs, the plain oracle.
    corner = mesh.triangles[:, 0]
    edge1, edge2 = mesh.triangles[:, 1] - corner, mesh.triangles[:, 2] - corner
    chosen = np.random.default_rng(0).choice(len(rays), 300, replace=False)
    cross = np.cross(rays[chosen, None], edge2)
    determinant = (cross * edge1).sum(-1)
    second = np.cross(-corner, edge1)
    b1 = (cross * -corner).sum(-1) / determinant
    b2 = (rays[chosen, None] * second).sum(-1) / determinant
    distance = (second * edge2).sum(-1) / determinant
    distance[(b1 < -1e-9) | (b2 < -1e-9) | (b1 + b2 > 1 + 1e-9)] = np.inf
    expected = distance.min(axis=1) * 300
    ours = fragments.depth.numpy()[rows[chosen], columns[chosen]]
    np.testing.assert_allclose(ours, expected, rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_closed_surface_has_no_holes(dtype):
    """Where the front shows, the back shows too, in any precision and at any turn."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        turn = np.linalg.qr(rng.normal(size=[3, 3]))[0]
        turn *= np.linalg.det(turn)  # no reflection
        vertices = (BALL.vertices @ turn + BALL_CENTRE).astype(dtype)
        front = rasterize(vertices, TRIANGLES, CAMERA, cull_backfaces=True)
        back = rasterize(vertices, TRIANGLES[:, ::-1], CAMERA, cull_backfaces=True)
        np.testing.assert_array_equal(front.triangle_ids >= 0, back.triangle_ids >= 0)
        assert (back.depth.numpy() >= front.depth.numpy()).all()
        filled = front.triangle_ids.numpy() >= 0
        for line in filled:  # a ball's picture is convex
            (columns,) = np.nonzero(line)
            assert len(columns) == 0 or line[columns[0] : columns[-1] + 1].all()


def test_vertices_on_pixel_centres_leave_no_hole():
    """A grid whose vertices fall on pixel centres, up to the rounding of the projection."""
    steps = np.arange(5.5, 100, 5)
    u, v = np.meshgrid(steps, steps)
    scale = 617.3 / CAMERA.focal_length_px
    points = [(u - 60) * scale, (50 - v) * scale, np.full_like(u, -617.3)]
    vertices = np.stack(points, axis=-1).reshape(-1, 3).astype(np.float32)
    count = len(steps)
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    lower = np.stack([corner, corner + count, corner + count + 1], axis=1)
    upper = np.stack([corner, corner + count + 1, corner + 1], axis=1)
    fragments = rasterize(vertices, np.concatenate([lower, upper]).astype(np.int32), CAMERA)
    assert (fragments.triangle_ids.numpy()[6:95, 6:95] >= 0).all()


def test_what_can_be_culled_and_what_must_be_dropped():
    facing = quad(10, 50, 90, 10)
    assert (rasterize(facing, QUAD, CAMERA, cull_backfaces=True).triangle_ids.numpy() >= 0).any()
    away = rasterize(facing, QUAD[:, ::-1], CAMERA, cull_backfaces=True)
    assert (away.triangle_ids.numpy() == -1).all()
    behind = facing * -1
    crossing = facing.copy()
    crossing[1, 2] = 10.0  # a corner of both triangles but one
    broken = facing.copy()
    broken[3] = np.nan  # a corner of triangle 1 alone
    assert (rasterize(behind, QUAD, CAMERA).triangle_ids.numpy() == -1).all()
    assert set(np.unique(rasterize(crossing, QUAD, CAMERA).triangle_ids)) == {-1, 1}
    assert set(np.unique(rasterize(broken, QUAD, CAMERA).triangle_ids)) == {-1, 0}
    edge_on = facing * [0, 1, 1]
    assert (rasterize(edge_on, QUAD, CAMERA).triangle_ids.numpy() == -1).all()


def test_a_triangle_far_larger_than_the_image():
    fragments = rasterize(quad(-1e6, 1e6, 1e6, -1e6), QUAD, CAMERA)
    assert (fragments.triangle_ids.numpy() >= 0).all()
    np.testing.assert_allclose(fragments.depth, 600)


def test_runs_from_a_saved_model(tmp_path):
    class Renderer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
        def depth_and_normals(self, vertices):
            fragments = rasterize(vertices, TRIANGLES, CAMERA)
            normals = tf.constant(BALL.vertex_normals, tf.float32)
            return fragments.depth, interpolate(normals, TRIANGLES, fragments)

    renderer = Renderer()
    expected = renderer.depth_and_normals(ball(np.float32))
    tf.saved_model.save(renderer, str(tmp_path))
    found = tf.saved_model.load(str(tmp_path)).depth_and_normals(ball(np.float32))
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(ours, theirs)


def test_barycentrics_and_depth_are_differentiable_in_the_vertices():
    colours = np.random.default_rng(2).uniform(size=[4, 3])
    direction = np.random.default_rng(3).normal(size=[4, 3])

    def loss(vertices):
        fragments = rasterize(vertices, QUAD, CAMERA)
        depth = tf.where(fragments.triangle_ids >= 0, fragments.depth, 0.0)
        return tf.reduce_sum(interpolate(colours, QUAD, fragments) ** 2) + tf.reduce_mean(depth)

    # Its border lies between pixel centres, so that a small step changes no triangle index.
    vertices = tf.constant(quad(10.2, 50.2, 90.3, 10.3) + np.outer([0, 3, 5, 2], [0, 0, 1]))
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        value = loss(vertices)
    gradient = tape.gradient(value, vertices)
    step = 1e-6
    change = loss(vertices + step * direction) - loss(vertices - step * direction)
    np.testing.assert_allclose(np.sum(gradient * direction), change / (2 * step), rtol=1e-5)
