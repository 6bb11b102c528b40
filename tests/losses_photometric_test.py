import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.losses.photometric import (
    PhotometricLoss,
    VisiblePhotometricLoss,
    photometric_error_rgb,
    photometric_loss,
    photometric_weights,
)
from fml_tf.models.building import build_model
from fml_tf.structures import MultiFrameBatch


def random_case(seed=0, num_vertices=5, num_frames=4):
    random = np.random.default_rng(seed)
    colours, observed = random.random((2, num_vertices, 3, num_frames))
    weights = (random.random((num_vertices, num_frames)) > 0.3).astype(np.float64)
    return colours, observed, weights


def test_weights_need_visibility_frame_and_region():
    visible = np.array([[True, True], [True, False], [True, True]])
    weights = photometric_weights(visible, np.array([True, False]), np.array([True, True, False]))
    assert weights.dtype == tf.float32
    np.testing.assert_array_equal(weights, [[1, 0], [1, 0], [0, 0]])


def test_loss_and_error_by_hand():
    # Two vertices, two frames; frame 0 sees both, frame 1 the first only.
    colours = np.zeros((2, 3, 2))
    observed = np.zeros((2, 3, 2))
    observed[0, :, 0] = 0.1, -0.2, 0.3  # squared 0.14, mean absolute 0.2
    observed[1, :, 0] = 0.4, 0.0, 0.0  # 0.16, 0.4 / 3
    observed[0, :, 1] = 0.0, 0.5, 0.0  # 0.25, 0.5 / 3
    observed[1, :, 1] = 9.0  # not seen
    weights = np.array([[1.0, 1.0], [1.0, 0.0]])
    loss = photometric_loss(tf.constant(colours), observed, weights, num_people=2)
    np.testing.assert_allclose(loss, (0.14 + 0.16 + 0.25) / 2, rtol=1e-12)
    error = photometric_error_rgb(tf.constant(colours), observed, weights)
    np.testing.assert_allclose(error, 255 * np.array([(0.2 + 0.4 / 3) / 2, 0.5 / 3]), rtol=1e-12)


@pytest.mark.parametrize("garbage", [1e6, np.inf, np.nan])
def test_unseen_vertices_add_nothing_whatever_they_hold(garbage):
    colours, observed, weights = random_case()
    weights[:, 1] = 0
    dirty = np.where(weights[:, None] > 0, observed, garbage)
    results = []
    for pictures in (observed, dirty):
        inputs = [tf.constant(colours), tf.constant(pictures)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = photometric_loss(*inputs, weights, 2)
        error = photometric_error_rgb(*inputs, weights)
        results.append([loss, error, *tape.gradient(loss, inputs)])
    for clean, with_garbage in zip(*results):
        np.testing.assert_array_equal(clean, with_garbage)
    assert results[0][1][1] == 0


def test_masked_frame_is_the_same_as_no_frame():
    colours, observed, weights = random_case()
    weights[:, 2] = 0
    kept = [0, 1, 3]
    np.testing.assert_allclose(
        photometric_loss(colours, observed, weights, 2),
        photometric_loss(colours[..., kept], observed[..., kept], weights[..., kept], 2),
        rtol=1e-14,
    )


def test_no_gradient_through_the_weights():
    colours, observed, weights = (tf.constant(array) for array in random_case())
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = photometric_loss(colours, observed, weights, 2)
    assert tape.gradient(loss, weights) is None


def test_the_mean_over_visible_vertices_does_not_depend_on_how_many_there_are():
    model = build_model(ModelConfig(network_width=0.02, crop_size=64, shape_size=2, albedo_size=2))
    frames = tf.random.stateless_uniform((1, 2, 64, 64, 3), (0, 0))
    landmarks = tf.zeros((1, 2, 66, 2))
    mask = tf.constant([[True, False]])
    batch = MultiFrameBatch(frames, mask, landmarks, tf.ones((1, 2, 66)))
    parameters = model.encode(frames, mask)
    faces = model.decode(parameters)
    value = VisiblePhotometricLoss(model)(batch, parameters, faces)
    paper = PhotometricLoss(model)
    seen = np.sum(faces.visible.numpy()[model.template.regions["face"], 0])
    expected = paper(batch, parameters, faces)
    np.testing.assert_allclose(value.value, expected.value / seen, rtol=1e-5)
    name = "photometric_rgb"
    np.testing.assert_allclose(value.measures[name][0, 0], expected.measures[name][0, 0], rtol=1e-5)
