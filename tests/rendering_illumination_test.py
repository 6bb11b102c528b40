import numpy as np
import pytest
import tensorflow as tf
import trimesh
from tensorflow_graphics.math import spherical_harmonics as tfg_harmonics

from fml_tf.rendering.illumination import ambient_illumination, shade, spherical_harmonics

SPHERE = trimesh.creation.icosphere(subdivisions=3).vertices  # [642, 3] unit normals


def test_agrees_with_tensorflow_graphics():
    theta = np.arccos(SPHERE[:, 2:])
    phi = np.arctan2(SPHERE[:, 1:2], SPHERE[:, :1])
    degree, order = tfg_harmonics.generate_l_m_permutations(2)
    expand = np.ones([len(SPHERE), 1], np.int32)
    theirs = tfg_harmonics.evaluate_spherical_harmonics(expand * degree, expand * order, theta, phi)
    # tensorflow-graphics has the phase (−1)^m; ours has none.
    signs = np.where(np.abs(order) == 1, -1, 1)
    ours = spherical_harmonics(SPHERE[:, :, None])[..., 0]
    np.testing.assert_allclose(ours, theirs * signs, atol=1e-9)


def test_constants_are_those_of_the_conventions():
    x, y, z = SPHERE.T
    expected = [
        0.282095 + 0 * x,
        0.488603 * y,
        0.488603 * z,
        0.488603 * x,
        1.092548 * x * y,
        1.092548 * y * z,
        0.315392 * (3 * z * z - 1),
        1.092548 * x * z,
        0.546274 * (x * x - y * y),
    ]
    ours = spherical_harmonics(SPHERE[:, :, None])[..., 0]
    np.testing.assert_allclose(ours, np.stack(expected, axis=1), atol=1e-6)


def test_harmonics_are_orthonormal_over_the_sphere():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=[200_000, 3])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    bands = spherical_harmonics(normals[:, :, None])[..., 0].numpy()
    gram = 4 * np.pi * bands.T @ bands / len(normals)
    np.testing.assert_allclose(gram, np.eye(9), atol=0.02)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ambient_light_shows_the_albedo(dtype):
    albedo = np.random.default_rng(1).uniform(size=[len(SPHERE), 3, 2]).astype(dtype)
    normals = np.repeat(SPHERE[:, :, None], 2, axis=2).astype(dtype)
    light = np.stack([ambient_illumination(), ambient_illumination(0.5)]).astype(dtype)
    colours = shade(albedo, normals, light)
    assert colours.dtype == dtype
    np.testing.assert_allclose(colours, albedo * np.array([1, 0.5]), rtol=1e-6)


def test_a_sphere_under_a_light_from_the_right_is_linear_in_x():
    light = np.zeros([1, 9, 3])
    light[0, :, :] = ambient_illumination()  # white where the light is neutral
    light[0, 3, 1] = 0.4 / 0.4886025  # green from the right
    colours = shade(np.ones([len(SPHERE), 3, 1]), SPHERE[:, :, None], light)[..., 0]
    expected = np.stack([1 + 0 * SPHERE[:, 0], 1 + 0.4 * SPHERE[:, 0], 1 + 0 * SPHERE[:, 0]], 1)
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_each_frame_and_channel_has_its_own_light():
    rng = np.random.default_rng(2)
    albedo, light = rng.uniform(size=[40, 3, 4]), rng.normal(size=[4, 9, 3])
    normals = rng.normal(size=[40, 3, 4])
    bands = spherical_harmonics(normals).numpy()
    expected = albedo * np.einsum("vbn,nbc->vcn", bands, light)
    np.testing.assert_allclose(shade(albedo, normals, light), expected, atol=1e-12)


def test_turning_light_and_normals_together_changes_nothing():
    """The nine harmonics span a space that rotations map to itself."""
    turn = tf.linalg.qr(np.random.default_rng(3).normal(size=[3, 3]))[0].numpy()
    light = np.random.default_rng(4).normal(size=[1, 9, 3])
    white = np.ones([len(SPHERE), 3, 1])
    bands = spherical_harmonics((SPHERE @ turn.T)[:, :, None])[..., 0].numpy()
    shading = shade(white, SPHERE[:, :, None], light)[..., 0].numpy()
    turned_light = np.linalg.lstsq(bands, shading, rcond=None)[0]
    again = shade(white, (SPHERE @ turn.T)[:, :, None], turned_light[None])[..., 0]
    np.testing.assert_allclose(again, shading, atol=1e-10)
