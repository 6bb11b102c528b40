import numpy as np
import pytest
import tensorflow as tf
from tensorflow_graphics.rendering.camera import perspective

from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.visibility import front_facing, inside_crop

CAMERA = PerspectiveCamera(focal_length_px=500.0, width=240, height=200)


def project_one(*point):
    return project(np.array(point, np.float64)[None, :, None], CAMERA).numpy()[0, :, 0]


def test_axes_follow_the_conventions():
    np.testing.assert_allclose(project_one(0, 0, -600), [120, 100])
    np.testing.assert_allclose(project_one(60, 0, -600), [170, 100])  # x is the image's right
    np.testing.assert_allclose(project_one(0, 60, -600), [120, 50])  # y is up, v is down


def test_agrees_with_tensorflow_graphics():
    points = np.random.default_rng(0).normal([0, 0, -600], 50, [4, 30, 3])
    ours = project(points.transpose(1, 2, 0), CAMERA)
    # There the camera looks along +z with y down: half a turn about x.
    theirs = perspective.project(
        points * [1, -1, -1], np.array([500.0, 500.0]), np.array([120.0, 100.0])
    )
    np.testing.assert_allclose(ours, theirs.numpy().transpose(1, 2, 0), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_stays_finite_at_and_behind_the_camera(dtype):
    points = np.array([[1, 2, 0], [1, 2, 5], [0, 0, -1e-30]], dtype)[:, :, None]
    with tf.GradientTape() as tape:
        points = tf.convert_to_tensor(points)
        tape.watch(points)
        positions = project(points, CAMERA)
    assert positions.dtype == dtype
    assert np.isfinite(positions).all()
    assert np.isfinite(tape.gradient(positions, points)).all()


@pytest.mark.parametrize("field", ["focal_length_px", "width", "height"])
def test_refuses_a_camera_without_extent(field):
    values = {"focal_length_px": 500.0, "width": 240, "height": 240, field: 0}
    with pytest.raises(ValueError, match=field):
        PerspectiveCamera(**values)


def test_front_facing_is_decided_by_the_ray_and_not_by_the_axis():
    # A wall seen at a slant: its normal points a little away from −z, yet the vertex sees us.
    vertices = np.array([[100.0, 0, -100], [-100, 0, -100], [0, 0, 100]])[:, :, None]
    normals = np.array([[-1.0, 0, -0.5], [-1, 0, -0.5], [0, 0, -1]])[:, :, None]
    # The last one faces the camera from behind it.
    np.testing.assert_array_equal(front_facing(vertices, normals)[:, 0], [True, False, False])


def test_crop_includes_its_edge():
    u = [0, 240, 0, -1e-9, 240 + 1e-9, 120]
    v = [0, 200, 200, 100, 100, 200 + 1e-9]
    positions = np.stack([u, v], axis=1)[:, :, None]
    expected = [True, True, True, False, False, False]
    np.testing.assert_array_equal(inside_crop(positions, CAMERA)[:, 0], expected)
