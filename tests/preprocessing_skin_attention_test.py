"""Skin attention: what it takes for skin, and that it is a plain function of colours."""

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.preprocessing.skin_attention import skin_attention, skin_probability, to_ycbcr
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.synthesis.scene import HeadPose, Light
from tools.skin_renderings import TONES, SkinRenderer

SIZE = 120


@pytest.fixture(scope="module")
def renderer():
    return SkinRenderer()


def random_crops(*shape):
    return np.random.default_rng(0).uniform(size=(*shape, 3)).astype(np.float32)


@pytest.mark.parametrize("tone", range(TONES))
def test_skin_of_every_tone_under_even_light_counts_fully(renderer, tone):
    people = renderer.person((tone + 0.5) / TONES, np.random.default_rng(100 + tone))
    picture, skin, other = renderer.draw(
        people,
        np.zeros(52, np.float32),
        HeadPose(np.zeros(3, np.float32), np.array([0, 20, -1200], np.float32)),
        Light(ambient_illumination(), np.array([0, 0, 1], np.float32), np.zeros(3, np.float32)),
        PerspectiveCamera(4.9 * SIZE, SIZE, SIZE),
        np.broadcast_to(np.float32([0, 0, 1]), (SIZE, SIZE, 3)),
    )
    assert skin.sum() > 0.05 * SIZE**2 and other.sum() > 0.1 * SIZE**2 and not (skin & other).any()
    attention = skin_attention(np.clip(picture, 0, 1)).numpy()
    assert np.mean(attention[skin] == 1) >= 0.9
    assert attention[:5, :5].max() < 0.5  # the background's corner


@pytest.mark.parametrize("colour", [(0, 0, 1), (0, 1, 0), (0, 1, 1), (0.2, 0.3, 0.8)])
def test_blue_and_green_are_no_skin(colour):
    assert skin_attention(np.float32(colour)[None, None]).numpy().max() < 0.5


def test_attention_is_the_probability_up_to_a_half_and_one_above():
    crops = random_crops(3, 20, 30)
    attention, probability = skin_attention(crops).numpy(), skin_probability(crops).numpy()
    likely = probability > 0.5
    assert 0.05 < likely.mean() < 0.95
    np.testing.assert_array_equal(attention[likely], 1)
    np.testing.assert_array_equal(attention[~likely], probability[~likely])


def test_probability_is_naive_bayes_between_the_mixtures():
    from scipy.stats import multivariate_normal

    from fml_tf.preprocessing.skin_attention import ASSET

    colours = random_crops(50)
    with np.load(ASSET) as archive:
        weights, means, covariances = (archive[n] for n in ("weights", "means", "covariances"))
    assert weights.shape == (2, 4) and means.shape == (2, 4, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    skin, other = (
        sum(
            weight * multivariate_normal(mean, covariance).pdf(to_ycbcr(colours.astype(float)))
            for weight, mean, covariance in zip(*mixture)
        )
        for mixture in zip(weights, means, covariances)
    )
    expected = 0.8 * skin / (0.8 * skin + 0.2 * other)
    np.testing.assert_allclose(skin_probability(colours), expected, atol=1e-4)


def test_ycbcr_has_head_room():
    black_white_blue = to_ycbcr(np.array([[0, 0, 0], [1, 1, 1], [0, 0, 1]]))
    expected = [[16, 128, 128], [235, 128, 128], [40.966, 240, 109.786]]
    np.testing.assert_allclose(black_white_blue, expected, atol=1e-9)


def test_shape_dtype_and_use_in_a_graph():
    crops = random_crops(2, 4, 8, 10)
    attention = skin_attention(crops)
    assert attention.shape == (2, 4, 8, 10) and attention.dtype == tf.float32
    assert 0 <= attention.numpy().min() <= attention.numpy().max() <= 1
    dataset = tf.data.Dataset.from_tensor_slices(crops).map(skin_attention)
    assert dataset.element_spec.shape == (4, 8, 10)
    np.testing.assert_allclose(np.stack(list(dataset.as_numpy_iterator())), attention, atol=1e-5)


def test_there_is_no_gradient():
    crops = tf.constant(random_crops(4, 4))
    with tf.GradientTape() as tape:
        tape.watch(crops)
        total = tf.reduce_sum(skin_attention(crops))
    assert tape.gradient(total, crops) is None
