import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates

from fml_tf.rendering.sampling import sample_bilinear

IMAGES = np.random.default_rng(0).uniform(size=[2, 7, 9, 3])  # N, H, W


def sample_one(u, v, images=IMAGES[:1]):
    return sample_bilinear(images, np.array([[u], [v]], images.dtype)[None]).numpy()[0, :, 0]


def test_pixel_centres_lie_at_a_half():
    np.testing.assert_allclose(sample_one(2.5, 4.5), IMAGES[0, 4, 2])
    np.testing.assert_allclose(sample_one(8.5, 6.5), IMAGES[0, 6, 8])
    np.testing.assert_allclose(sample_one(3, 4.5), IMAGES[0, 4, 2:4].mean(axis=0))


def test_agrees_with_scipy_inside_and_beyond_the_border():
    positions = np.random.default_rng(1).uniform(-4, 13, [200, 2, 2])
    sampled = sample_bilinear(IMAGES, positions).numpy()
    for n in range(2):
        for channel in range(3):
            expected = map_coordinates(
                IMAGES[n, ..., channel], positions[:, ::-1, n].T - 0.5, order=1, mode="nearest"
            )
            np.testing.assert_allclose(sampled[:, channel, n], expected, atol=1e-12)


def test_reproduces_a_colour_ramp_exactly():
    v, u = np.meshgrid(np.arange(7) + 0.5, np.arange(9) + 0.5, indexing="ij")
    ramp = np.stack([u, v, 2 * u - v], axis=-1)[None]
    np.testing.assert_allclose(sample_one(3.3, 5.9, ramp), [3.3, 5.9, 0.7], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_leaves_sizes_open(dtype):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], dtype),
            tf.TensorSpec([None, 2, None], dtype),
        ]
    )
    def sample(images, positions):
        return sample_bilinear(images, positions)

    positions = np.random.default_rng(2).uniform(0, 9, [5, 2, 2]).astype(dtype)
    images = IMAGES.astype(dtype)
    assert sample(images, positions).dtype == dtype
    np.testing.assert_allclose(sample(images, positions), sample_bilinear(images, positions))


def test_gradient_is_zero_only_along_the_axis_that_is_clamped():
    v, u = np.meshgrid(np.arange(7.0), np.arange(9.0), indexing="ij")
    ramp = np.stack([3 * u + 5 * v] * 3, axis=-1)[None]
    # Inside; left of the first centre; below the last; a corner; on the first and the last centre.
    positions = np.array([[4.2, 3.7], [0.2, 3.7], [4.2, 6.9], [-5, 99], [0.5, 0.5], [8.5, 6.5]])
    with tf.GradientTape() as tape:
        positions = tf.constant(positions[:, :, None])
        tape.watch(positions)
        red = sample_bilinear(ramp, positions)[:, 0]
    slopes = tape.gradient(red, positions)[..., 0]
    np.testing.assert_allclose(slopes, [[3, 5], [0, 5], [3, 0], [0, 0], [3, 5], [3, 5]])


def test_a_broken_position_shows_as_nan_and_does_not_crash():
    sampled = sample_bilinear(IMAGES[:1], np.array([[np.nan, 1.0], [np.inf, 1e30]])[:, :, None])
    assert np.isnan(sampled[0]).any()
    assert np.isfinite(sampled[1]).all()
