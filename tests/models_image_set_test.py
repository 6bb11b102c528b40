"""C-Net: its size, how it weighs pictures, and that R-Net stays as it is."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.models.encoders.image_set import (
    ConfidenceNetwork,
    by_coefficient,
    by_sum,
    most_confident,
)
from fml_tf.models.saving import save_model, start_from, weights_by_name

SIZE, K = 64, 6
CONFIG = ModelConfig(
    system="deep3d_sets", backbone="resnet18", network_width=0.1, crop_size=SIZE, prior_size=K
)


def _frames(num_people, num_frames):
    return tf.random.stateless_uniform((num_people, num_frames, SIZE, SIZE, 3), (0, 1))


def _with_heads(model):
    """Heads that start at zero get something to say."""
    rng = np.random.default_rng(0)
    for weight in model.encoder.weights:
        if weight.name in ("kernel", "bias") and not np.any(weight):
            weight.assign(rng.normal(size=weight.shape, scale=0.02))
    return model


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return _with_heads(build_model(CONFIG))


def test_weights_are_as_printed():
    network = ConfidenceNetwork(80)
    network.build(((None, 28, 28, 256), (None, 2048)))
    assert network.count_params() == 2_991_440
    network = ConfidenceNetwork(80)
    network.build(((None, 30, 30, 256), (None, 2048)))  # of crops of 240 pixels
    assert network.count_params() == 2_991_440


def test_it_starts_from_the_plain_mean():
    keras.utils.set_random_seed(1)
    model = build_model(CONFIG)
    rng = np.random.default_rng(0)
    model.encoder.rnet.head.kernel.assign(rng.normal(size=model.encoder.rnet.head.kernel.shape))
    frames, mask = _frames(1, 3), np.ones((1, 3), bool)
    together = model.encode(frames, mask).identity["shape"]
    singles = model.encode(frames[0][:, None], np.ones((3, 1), bool)).identity["shape"]
    np.testing.assert_allclose(together[0], tf.reduce_mean(singles, axis=0), rtol=1e-4, atol=1e-5)


def _identity(model, codes, confidences, mask, weighting=by_coefficient):
    features = tf.constant(codes, tf.float32), tf.constant(confidences, tf.float32)
    return model.encoder.weighted_identity(features, np.array(mask), weighting).numpy()


@pytest.fixture(scope="module")
def codes(model):
    size = model.encoder.identity_size + model.encoder.frame_size
    return np.random.default_rng(3).normal(size=(2, size)).astype(np.float32)


def test_a_coefficient_comes_from_the_picture_that_shows_it(model, codes):
    tiny = 1e-7
    confidences = np.full((2, K), 0.5)
    confidences[:, 0], confidences[:, 1] = (1, tiny), (tiny, 1)
    found = _identity(model, codes, confidences, [[True, True]])[0]
    assert found[0] == pytest.approx(codes[0, 0], abs=1e-5)
    assert found[1] == pytest.approx(codes[1, 1], abs=1e-5)
    np.testing.assert_allclose(found[2 : 2 * K], codes[:, 2 : 2 * K].mean(axis=0), atol=1e-6)


def test_scale_order_and_masked_pictures_do_not_matter(model, codes):
    confidences = np.random.default_rng(4).uniform(0.1, 1, (2, K))
    expected = _identity(model, codes, confidences, [[True, True]])
    for other in (
        _identity(model, codes, 0.1 * confidences, [[True, True]]),
        _identity(model, codes[::-1], confidences[::-1], [[True, True]]),
        _identity(
            model,
            np.concatenate([codes, 100 * codes[:1]]),
            np.concatenate([confidences, confidences[:1]]),
            [[True, True, False]],
        ),
    ):
        np.testing.assert_allclose(other, expected, rtol=1e-5, atol=1e-6)


def test_one_picture_is_its_own_answer_to_the_bit(model, codes):
    confidences = np.random.default_rng(5).uniform(1e-6, 1, (1, K))
    found = _identity(model, codes[:1], confidences, [[True]])
    np.testing.assert_array_equal(found, codes[:1, : model.encoder.identity_size])


def test_pictures_as_a_whole(model, codes):
    confidences = np.array([[0.1] * K, [0.3] * K])
    summed = _identity(model, codes, confidences, [[True, True]], by_sum)[0]
    expected = 0.25 * codes[0, :K] + 0.75 * codes[1, :K]
    np.testing.assert_allclose(summed[:K], expected, atol=1e-5)
    best = _identity(model, codes, confidences, [[True, True]], most_confident)[0]
    np.testing.assert_array_equal(best[:K], codes[1, :K])
    masked = _identity(model, codes, confidences, [[True, False]], most_confident)[0]
    np.testing.assert_array_equal(masked[:K], codes[0, :K])


def test_only_the_confidences_learn(model):
    names = {weight.path.split("/")[2] for weight in model.trainable_weights}
    assert names == {"confidence_network"}
    frames, mask = _frames(1, 2), np.ones((1, 2), bool)
    before = {name: variable.numpy() for name, variable in weights_by_name(model).items()}
    with tf.GradientTape() as tape:
        faces = model(frames, mask, training=True)
        loss = tf.reduce_sum(faces.identity.neutral_vertices**2)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(np.any(gradient) for gradient in gradients)
    for name, variable in weights_by_name(model).items():  # statistics included
        np.testing.assert_array_equal(variable, before[name], err_msg=name)


def test_pictures_that_agree_teach_nothing(model):
    frames = tf.repeat(_frames(1, 1), 3, axis=1)
    with tf.GradientTape() as tape:
        faces = model(frames, np.ones((1, 3), bool), training=True)
        loss = tf.reduce_sum(faces.identity.neutral_vertices)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for gradient in gradients:
        np.testing.assert_allclose(gradient, 0, atol=0.05)


def test_it_starts_from_a_trained_rnet(tmp_path):
    keras.utils.set_random_seed(2)
    rnet = _with_heads(build_model(dataclasses.replace(CONFIG, system="deep3d")))
    save_model(rnet, tmp_path / "rnet")
    sets = start_from(tmp_path / "rnet", CONFIG)
    frames = _frames(2, 1)
    mask = np.ones((2, 1), bool)
    ours, theirs = (m.encode(frames, mask).by_name() for m in (sets, rnet))
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    other = dataclasses.replace(CONFIG, network_width=0.2)
    with pytest.raises(ValueError, match="was trained with another model: network_width=0"):
        start_from(tmp_path / "rnet", other)


def test_a_network_without_residuals_is_refused():
    with pytest.raises(ValueError, match="--backbone=alexnet: C-Net reads features of a ResNet"):
        build_model(dataclasses.replace(CONFIG, backbone="alexnet"))
