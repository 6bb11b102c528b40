import numpy as np
import pytest
import tensorflow as tf

from fml_tf.losses.landmark import (
    gather_landmarks,
    landmark_error_px,
    landmark_loss,
    slide_contour,
)
from fml_tf.rendering.camera import PerspectiveCamera, project

CAMERA = PerspectiveCamera(focal_length_px=800.0, width=240, height=200)


def random_vertices(random, num_vertices, num_frames):
    vertices = random.normal(0, 60, (num_vertices, 3, num_frames))
    vertices[:, 2] -= 700
    return vertices


@pytest.mark.parametrize("yaw_degrees", [-30, -12, 0, 21, 44])
def test_contour_slides_along_a_turned_sphere(yaw_degrees):
    # A sphere seen from distance d has its contour acos(R/d) away from the axis to the camera;
    # turned by a yaw, another of its vertices lies there.
    radius, distance = 90.0, 600.0
    angles = np.radians(np.arange(0, 121, 3))
    turned = angles + np.radians(yaw_degrees)
    zero = np.zeros_like(turned)
    vertices = radius * np.stack([np.sin(turned), zero, np.cos(turned)], axis=-1)
    vertices += [0, 0, -distance]
    contour_u = CAMERA.width / 2 + CAMERA.focal_length_px * np.tan(np.arcsin(radius / distance))
    detected = tf.constant([[[contour_u, CAMERA.height / 2]]])
    chosen = slide_contour(
        tf.constant(vertices[..., None]),
        np.zeros(1),
        np.arange(len(angles))[None],
        detected,
        CAMERA,
    )
    expected = np.arccos(radius / distance) - np.radians(yaw_degrees)
    assert chosen[0, 0] == np.argmin(np.abs(angles - expected))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_slide_takes_the_nearest_in_3d_to_the_ray(dtype):
    random = np.random.default_rng(1)
    vertices = random_vertices(random, 50, 6)
    candidates = random.integers(0, 50, (17, 8))
    fixed = random.integers(0, 50, 66)
    detected = random.uniform(0, 240, (6, 66, 2))
    chosen = slide_contour(tf.constant(vertices, dtype), fixed, candidates, detected, CAMERA)
    assert chosen.dtype == tf.int32
    for n in range(6):
        np.testing.assert_array_equal(chosen[n, 17:], fixed[17:])
        for k in range(17):
            u, v = detected[n, k]
            ray = np.array([u - 120, 100 - v, -CAMERA.focal_length_px])
            points = vertices[candidates[k], :, n]
            distance = np.linalg.norm(np.cross(points, ray), axis=1) / np.linalg.norm(ray)
            assert chosen[n, k] == candidates[k][np.argmin(distance)]


def test_slide_finds_the_vertex_that_was_projected():
    random = np.random.default_rng(2)
    vertices = tf.constant(random_vertices(random, 30, 4))
    candidates = np.array([random.permutation(30)[:10] for _ in range(17)])
    truth = np.array([[random.choice(row) for row in candidates] for _ in range(4)])
    detected = gather_landmarks(project(vertices, CAMERA), truth)
    fixed = np.zeros(17, np.int32)
    np.testing.assert_array_equal(
        slide_contour(vertices, fixed, candidates, detected, CAMERA), truth
    )


def test_gather_takes_each_frame_its_own_vertices():
    positions = np.random.default_rng(3).random((7, 2, 3))
    indices = np.array([[0, 6], [3, 3], [5, 1]], np.int32)
    expected = [[positions[i, :, n] for i in row] for n, row in enumerate(indices)]
    np.testing.assert_array_equal(gather_landmarks(tf.constant(positions), indices), expected)


def test_gather_sums_the_gradients_of_a_vertex_taken_twice():
    positions = tf.zeros([4, 2, 2])
    with tf.GradientTape() as tape:
        tape.watch(positions)
        taken = gather_landmarks(positions, tf.constant([[1, 1], [3, 0]]))
        total = tf.reduce_sum(taken)
    expected = np.zeros((4, 2, 2))
    expected[1, :, 0] = 2
    expected[[3, 0], :, 1] = 1
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(total, positions)), expected)


def test_loss_and_error_by_hand():
    projected = tf.constant([[[0.0, 0.0], [10.0, 10.0]], [[5.0, 5.0], [0.0, 0.0]]], tf.float64)
    detected = [[[3.0, 4.0], [10.0, 10.0]], [[5.0, 17.0], [6.0, 8.0]]]  # 5, 0, 12, 10 px apart
    confidence = [[0.5, 1.0], [1.0, 0.25]]
    loss = landmark_loss(projected, detected, confidence, [True, True], 100, num_people=2)
    np.testing.assert_allclose(loss, (0.5 * 25 + 144 + 0.25 * 100) / 100**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(landmark_error_px(projected, detected), [2.5, 11.0])


@pytest.mark.parametrize("garbage", [1e6, np.nan])
def test_zero_confidence_and_masked_frames_are_left_out(garbage):
    random = np.random.default_rng(4)
    projected, detected = random.uniform(0, 240, (2, 3, 5, 2))
    confidence = random.uniform(0.2, 1, (3, 5))
    confidence[0, 2] = 0
    mask = np.array([True, False, True])
    dirty = detected.copy()
    dirty[0, 2] = garbage
    dirty[1] = garbage
    results = []
    for points in (detected, dirty):
        inputs = [tf.constant(projected), tf.constant(points)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = landmark_loss(*inputs, confidence, mask, 240, 2)
        results.append([loss, *tape.gradient(loss, inputs)])
    for clean, with_garbage in zip(*results):
        np.testing.assert_array_equal(clean, with_garbage)

    kept = [0, 2]
    np.testing.assert_allclose(
        results[0][0],
        landmark_loss(
            tf.constant(projected[kept]), detected[kept], confidence[kept], mask[kept], 240, 2
        ),
        rtol=1e-14,
    )
