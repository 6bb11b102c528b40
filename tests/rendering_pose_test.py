import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation
from tensorflow_graphics.geometry.transformation import rotation_matrix_3d

from fml_tf.rendering.pose import rotate, rotation_matrix


def random_vectors(scale, count=50):
    return np.random.default_rng(0).normal(0, scale, [count, 3])


# The scales lie below, about and above the switch from the series to the closed form.
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 0.2, 1.0, 3.0])
def test_agrees_with_scipy_and_tensorflow_graphics(scale):
    vectors = random_vectors(scale)
    matrices = rotation_matrix(vectors).numpy()
    np.testing.assert_allclose(matrices, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-14)
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    theirs = rotation_matrix_3d.from_axis_angle(vectors / angle, angle)
    np.testing.assert_allclose(matrices, theirs, atol=1e-14)


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-6), (np.float64, 1e-14)])
def test_matrices_are_rotations(dtype, tolerance):
    matrices = rotation_matrix(random_vectors(1.0).astype(dtype))
    assert matrices.dtype == dtype
    identity = np.broadcast_to(np.eye(3), matrices.shape)
    np.testing.assert_allclose(
        matrices @ tf.linalg.matrix_transpose(matrices), identity, atol=tolerance
    )
    np.testing.assert_allclose(tf.linalg.det(matrices), 1, atol=tolerance)


def test_zero_rotation_is_the_identity_and_its_gradient_the_cross_product():
    with tf.GradientTape() as tape:
        vector = tf.zeros([1, 3], tf.float64)
        tape.watch(vector)
        rotated = rotation_matrix(vector)[0] @ tf.constant([[1.0], [2.0], [3.0]], tf.float64)
    np.testing.assert_array_equal(rotated[:, 0], [1, 2, 3])
    derivative = tape.jacobian(rotated, vector)[:, 0, 0]
    np.testing.assert_array_equal(derivative, [[0, 3, -2], [-3, 0, 1], [2, -1, 0]])  # ω × v


def test_a_quarter_turn_about_y_brings_the_nose_to_the_images_right():
    turn = rotation_matrix(np.array([[0, np.pi / 2, 0]]))
    nose = np.array([0.0, 0, 100])[None, :, None]
    np.testing.assert_allclose(rotate(nose, turn)[0, :, 0], [100, 0, 0], atol=1e-12)


def test_each_frame_has_its_own_rotation():
    rng = np.random.default_rng(1)
    vertices = rng.normal(size=[20, 3, 5])
    rotation = Rotation.random(5, rng=rng).as_matrix()
    rotated = np.einsum("nij,vjn->vin", rotation, vertices)
    np.testing.assert_allclose(rotate(vertices, rotation), rotated, atol=1e-13)


def test_rotating_back_gives_the_vertices():
    vertices = np.random.default_rng(2).normal(size=[20, 3, 4])
    vectors = random_vectors(1.0, 4)
    there = rotate(vertices, rotation_matrix(vectors))
    np.testing.assert_allclose(rotate(there, rotation_matrix(-vectors)), vertices, atol=1e-13)
