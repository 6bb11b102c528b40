"""Every derivative of the image formation against central differences, in float64."""

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.illumination import ambient_illumination, shade, spherical_harmonics
from fml_tf.rendering.pose import rotate, rotation_matrix
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.rendering.visibility import front_facing, inside_crop

CAMERA = PerspectiveCamera(focal_length_px=700.0, width=24, height=20)
RNG = np.random.default_rng(0)
FACING_NORMALS = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]])[:, :, None]


def check(function, *arguments, step=1e-5, tolerance=1e-6):
    analytic, numeric = tf.test.compute_gradient(function, [*arguments], delta=step)
    for ours, expected in zip(analytic, numeric):
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(ours, expected, atol=tolerance * scale, rtol=0)


def test_project():
    check(
        lambda points: project(points, CAMERA),
        RNG.normal([0, 0, -60], 10, [4, 2, 3]).swapaxes(1, 2),
    )


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros([1, 3]),
        np.array([[1e-9, 0, 0], [0.18, -0.18, 0.18], [0.18, -0.18, 0.19]]),  # about the switch
        np.array([[np.pi, 0, 0], [0, 2 * np.pi, 0], [1.0, 2.0, -3.0]]),
    ],
)
def test_rotation(vectors):
    check(rotation_matrix, vectors)


def test_rotate():
    vertices = RNG.normal(size=[2, 3, 2])
    vectors = np.array([[0.0, 0, 0], [0.5, -1, 0.3]])
    check(lambda v, r: rotate(v, rotation_matrix(r)), vertices, vectors)


def test_spherical_harmonics_at_normals_that_face_the_camera():
    check(spherical_harmonics, FACING_NORMALS)


def test_shade():
    albedo = RNG.uniform(size=[5, 3, 1])
    check(shade, albedo, FACING_NORMALS, RNG.normal(size=[1, 9, 3]))


def test_sampling_inside_and_on_the_crops_edge():
    images = RNG.uniform(size=[2, 6, 8, 3])
    # Inside; on the crop's outer edge and beyond it, where the border is clamped along one axis.
    positions = np.array([[2.3, 4.1], [0, 3.2], [8, 3.2], [5.7, 6], [-3, 2.2], [0, 6]])
    positions = np.stack([positions, positions[::-1]], axis=-1)
    check(lambda p: sample_bilinear(images, p), positions)


def scene(num_frames=2):
    """A small ball before the camera that leaves the crop on one side."""
    ball = trimesh.creation.icosphere(subdivisions=1, radius=9.0)
    ring = build_one_ring(ball.faces, len(ball.vertices))
    vertices = ball.vertices + RNG.normal(0, 0.5, ball.vertices.shape)
    values = {
        "vertices": np.repeat(vertices[:, :, None], num_frames, axis=2),
        "rotation": np.concatenate([np.zeros([1, 3]), RNG.normal(size=[num_frames - 1, 3])]),
        "translation": np.array([[7.0, 0, -600]] * num_frames),
        "albedo": RNG.uniform(size=[len(vertices), 3, num_frames]),
        "illumination": np.repeat(ambient_illumination(0.8)[None], num_frames, axis=0)
        + RNG.normal(0, 0.1, [num_frames, 9, 3]),
    }
    images = RNG.uniform(size=[num_frames, CAMERA.height, CAMERA.width, 3])
    return {name: tf.constant(value) for name, value in values.items()}, ring, images


def photometric(values, ring, images):
    rotated = rotate(values["vertices"], rotation_matrix(values["rotation"]))
    vertices = rotated + tf.transpose(values["translation"])
    normals = vertex_normals(vertices, ring)
    positions = project(vertices, CAMERA)
    colours = shade(values["albedo"], normals, values["illumination"])
    visible = front_facing(vertices, normals) & inside_crop(positions, CAMERA)
    difference = colours - sample_bilinear(images, positions)
    return tf.reduce_sum(tf.where(visible[:, None], difference**2, 0.0))


def test_whole_image_formation():
    values, ring, images = scene()
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = photometric(values, ring, images)
    gradients = tape.gradient(loss, values)
    for name, value in values.items():
        direction = RNG.normal(size=value.shape)
        step = 1e-7
        ahead = photometric({**values, name: value + step * direction}, ring, images)
        behind = photometric({**values, name: value - step * direction}, ring, images)
        expected = ((ahead - behind) / (2 * step)).numpy()
        ours = np.sum(gradients[name] * direction)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, err_msg=name)


def test_xla_gives_the_same_loss_and_gradients():
    values, ring, images = scene(3)

    def step(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = photometric(values, ring, images)
        return loss, tape.gradient(loss, values)

    loss, gradients = step(values)
    xla_loss, xla_gradients = tf.function(step, jit_compile=True)(values)
    np.testing.assert_allclose(xla_loss, loss, rtol=1e-10)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(xla_gradients[name], gradient, atol=1e-8, err_msg=name)
