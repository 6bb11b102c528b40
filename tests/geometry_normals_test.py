import numpy as np
import pytest
import tensorflow as tf
import trimesh
from tensorflow_graphics.geometry.representation.mesh import normals as tfg_normals

from fml_tf.geometry.normals import build_one_ring, vertex_normals

SPHERE = trimesh.creation.icosphere(subdivisions=2, radius=90.0)
SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
SQUARE_TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def scattered_normals(vertices, triangles):
    """Area vectors of the triangles summed at their corners, the textbook way."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], np.cross(b - a, c - a))
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def our_normals(vertices, triangles):
    ring = build_one_ring(triangles, len(vertices))
    return vertex_normals(vertices[:, :, None], ring).numpy()[..., 0]


def shaken(vertices, seed=0):
    return vertices + np.random.default_rng(seed).normal(0, 3, vertices.shape)


def test_normals_of_a_sphere_point_outwards():
    outwards = SPHERE.vertices / 90
    np.testing.assert_allclose(our_normals(SPHERE.vertices, SPHERE.faces), outwards, atol=0.03)


def test_agrees_with_tensorflow_graphics():
    vertices = shaken(SPHERE.vertices)
    theirs = tfg_normals.vertex_normals(vertices, SPHERE.faces.astype(np.int32))
    np.testing.assert_allclose(our_normals(vertices, SPHERE.faces), theirs, atol=1e-12)


def bow_tie():
    """Two fans, one of them closed, that share only vertex 0."""
    closed = [[0, 1, 2], [0, 2, 3], [0, 3, 1]]
    open_fan = [[0, 4, 5], [0, 5, 6]]
    return np.random.default_rng(1).normal(size=[7, 3]), np.array(closed + open_fan)


def three_wings():
    """Three triangles at one edge, of which two run the same way."""
    triangles = [[0, 1, 2], [0, 1, 3], [1, 0, 4]]
    return np.random.default_rng(2).normal(size=[5, 3]), np.array(triangles)


def half_sphere():
    vertices = shaken(SPHERE.vertices)
    kept = (SPHERE.vertices[SPHERE.faces][..., 2] > 0).all(axis=1)
    used, triangles = np.unique(SPHERE.faces[kept], return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3)


MESHES = [bow_tie, three_wings, half_sphere]


@pytest.mark.parametrize("mesh", MESHES)
def test_boundaries_and_non_manifold_vertices(mesh):
    vertices, triangles = mesh()
    expected = scattered_normals(vertices, triangles)
    np.testing.assert_allclose(our_normals(vertices, triangles), expected, atol=1e-12)


@pytest.mark.parametrize("mesh", MESHES)
def test_gradient(mesh):
    vertices, triangles = mesh()
    ring = build_one_ring(triangles, len(vertices))
    rng = np.random.default_rng(3)
    vertices = tf.constant(np.stack([vertices, shaken(vertices, 4)], axis=-1))
    weights = rng.normal(size=vertices.shape)
    direction = rng.normal(size=vertices.shape)

    def loss(vertices):
        return tf.reduce_sum(weights * vertex_normals(vertices, ring))

    with tf.GradientTape() as tape:
        tape.watch(vertices)
        value = loss(vertices)
    gradient = tape.gradient(value, vertices).numpy()
    step = 1e-6
    # A random direction, then each coordinate of one boundary vertex and of its last neighbour.
    single = np.eye(vertices.shape[0] * 6).reshape(-1, *vertices.shape)
    for delta in [direction, *single[:6], *single[-6:]]:
        change = loss(vertices + step * delta) - loss(vertices - step * delta)
        expected = (change / (2 * step)).numpy()
        np.testing.assert_allclose((gradient * delta).sum(), expected, rtol=1e-6, atol=1e-8)


def test_far_from_the_camera_float32_stays_accurate():
    vertices = SPHERE.vertices + np.array([300, -200, -900])
    expected = our_normals(vertices, SPHERE.faces)
    single = our_normals(vertices.astype(np.float32), SPHERE.faces)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_lone_and_degenerate_vertices_have_zero_normals_and_no_gradient():
    vertices = np.concatenate([SQUARE, [[5.0, 5, 5]] * 4])
    triangles = np.concatenate([SQUARE_TRIANGLES, [[4, 5, 6]]])  # of no area; 7 is in none
    ring = build_one_ring(triangles, len(vertices))
    with tf.GradientTape() as tape:
        vertices = tf.constant(vertices[:, :, None])
        tape.watch(vertices)
        normals = vertex_normals(vertices, ring)
    np.testing.assert_array_equal(normals[:4, :, 0], [[0, 0, 1]] * 4)
    np.testing.assert_array_equal(normals[4:], np.zeros([4, 3, 1]))
    gradient = tape.gradient(normals, vertices)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[4:], np.zeros([4, 3, 1]))


def test_a_large_triangle_weighs_more():
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])  # areas 2 (normal +z) and 1 (normal +x)
    expected = np.array([1, 0, 2]) / np.sqrt(5)
    np.testing.assert_allclose(our_normals(vertices, triangles)[0], expected)


def test_frames_do_not_mix_and_their_number_is_open():
    ring = build_one_ring(SPHERE.faces, len(SPHERE.vertices))
    frames = np.stack([SPHERE.vertices, shaken(SPHERE.vertices)], axis=-1)

    @tf.function(input_signature=[tf.TensorSpec([len(frames), 3, None], tf.float64)])
    def normals(vertices):
        return vertex_normals(vertices, ring)

    both = normals(frames)
    for n in range(2):
        np.testing.assert_array_equal(both[..., n], normals(frames[..., n : n + 1])[..., 0])


@pytest.mark.parametrize("triangles, message", [([[0, 1, 4]], "outside"), ([[0, 1]], "F, 3")])
def test_refuses_wrong_triangles(triangles, message):
    with pytest.raises(ValueError, match=message):
        build_one_ring(np.array(triangles), 4)
