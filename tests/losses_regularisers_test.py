"""Smoothness, sparsity and expression terms."""

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.losses.expression import expression_loss
from fml_tf.losses.smoothness import smoothness_loss
from fml_tf.losses.sparsity import ETA, P, chroma, chroma_weights, sparsity_loss

EDGES = np.array([[0, 1], [1, 2]], np.int32)


def test_smoothness_by_hand():
    # Person 0: differences (1, 0, 0) and (0, 2, 2); person 1: a rigid shift, which is free.
    nodes = np.zeros((3, 3, 2))
    nodes[:, :, 0] = [[0, 0, 0], [1, 0, 0], [1, 2, -2]]
    nodes[:, :, 1] = [3, -1, 2]
    np.testing.assert_allclose(smoothness_loss(tf.constant(nodes), EDGES), 2 * (1 + 8) / 2)


def test_smoothness_is_the_double_sum_over_neighbourhoods():
    random = np.random.default_rng(0)
    nodes = random.normal(size=(4, 3, 1))
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3]], np.int32)
    neighbours = {0: [1, 2], 1: [0, 2], 2: [0, 1, 3], 3: [2]}
    expected = sum(np.sum((nodes[i] - nodes[j]) ** 2) for i, row in neighbours.items() for j in row)
    np.testing.assert_allclose(smoothness_loss(tf.constant(nodes), edges), expected)


def test_sparsity_by_hand():
    albedo = np.zeros((3, 3, 2))
    albedo[1, 0, 0] = 0.3
    albedo[2, 0, 0] = 0.3
    albedo[2, 1:, 0] = 0.3, 0.4
    weights = np.array([[0.5, 1.0], [0.25, 1.0]])
    loss = sparsity_loss(tf.constant(albedo), EDGES, weights)
    # The floor inside the root moves each norm by less than its p-th power, 1e-4 ** 0.9.
    expected = 2 * (0.5 * 0.3**P + 0.25 * 0.5**P) / 2
    np.testing.assert_allclose(loss, expected, atol=2e-4)


def test_equal_albedos_cost_nothing():
    albedo = tf.fill([3, 3, 2], 0.37)
    np.testing.assert_allclose(sparsity_loss(albedo, EDGES, tf.ones([2, 2])), 0, atol=1e-8)


def test_sparsity_prefers_one_step_to_a_ramp():
    step = np.zeros((11, 3, 1))
    step[5:] = 0.5
    ramp = np.linspace(0, 0.5, 11)[:, None, None] * np.ones((1, 3, 1))
    edges = np.stack([np.arange(10), np.arange(1, 11)], axis=1).astype(np.int32)
    ones = np.ones((10, 1))
    assert sparsity_loss(tf.constant(step), edges, ones) < sparsity_loss(
        tf.constant(ramp), edges, ones
    )


def test_chroma_sums_to_one_and_is_grey_at_black():
    colours = tf.constant([[0.2, 0.6, 0.2], [0.0, 0.0, 0.0], [-0.3, -0.1, 0.0], [-1.0, 1.0, 3.0]])
    expected = [[0.2, 0.6, 0.2], [1 / 3] * 3, [1 / 3] * 3, [0, 0.25, 0.75]]
    np.testing.assert_allclose(chroma(colours[..., tf.newaxis])[..., 0], expected, rtol=1e-6)


def test_chroma_weights_by_hand():
    # Vertices 0 and 1 differ in intensity only, 1 and 2 in chroma by √2 / 100.
    colours = np.array([[0.2, 0.2, 0.1], [0.4, 0.4, 0.2], [0.41, 0.39, 0.2]])[..., None]
    weights = chroma_weights(tf.constant(colours), np.array([[True]]), EDGES)
    np.testing.assert_allclose(weights[:, 0], [1.0, np.exp(-ETA * 0.01 * np.sqrt(2))], rtol=1e-9)


def test_chroma_weights_ignore_intensity_and_pass_no_gradient():
    random = np.random.default_rng(1)
    colours = tf.constant(random.uniform(0.3, 0.4, (3, 3, 4)))
    mask = np.ones((2, 2), bool)
    with tf.GradientTape() as tape:
        tape.watch(colours)
        weights = chroma_weights(colours, mask, EDGES)
    assert tape.gradient(weights, colours) is None
    np.testing.assert_allclose(weights, chroma_weights(0.01 * colours, mask, EDGES))
    assert np.all((weights > 0.001) & (weights < 1))


@pytest.mark.parametrize("garbage", [1e6, np.nan])
def test_chroma_weights_leave_masked_frames_out(garbage):
    colours = np.random.default_rng(2).uniform(0.3, 0.4, (3, 3, 2, 3))  # [V, 3, B, M]
    colours[:, :, 0, 1] = garbage
    colours[:, :, 1, 1] = garbage
    mask = np.array([[True, False, True]] * 2)
    kept = colours[..., [0, 2]]
    np.testing.assert_allclose(
        chroma_weights(tf.constant(colours.reshape(3, 3, 6)), mask, EDGES),
        chroma_weights(tf.constant(kept.reshape(3, 3, 4)), np.ones((2, 2), bool), EDGES),
    )


def test_chroma_weights_keep_people_apart():
    colours = np.random.default_rng(3).uniform(0.3, 0.4, (3, 3, 2, 2))
    both = chroma_weights(tf.constant(colours.reshape(3, 3, 4)), np.ones((2, 2), bool), EDGES)
    for b in range(2):
        one = chroma_weights(tf.constant(colours[:, :, b]), np.ones((1, 2), bool), EDGES)
        np.testing.assert_allclose(both[:, b], one[:, 0])


def test_expression_by_hand():
    expression = tf.constant([[[1.0, 4.0], [2.0, 0.0]], [[0.0, -2.0], [1e6, np.nan]]])
    mask = np.array([[True, True], [True, False]])
    loss = expression_loss(expression, np.array([1.0, 2.0]), mask)
    np.testing.assert_allclose(loss, ((1 + 4) + 4 + 1) / 2)


def test_masked_expression_gets_no_gradient():
    expression = tf.constant([[[1.0, 4.0], [np.nan, 1e6]]])
    with tf.GradientTape() as tape:
        tape.watch(expression)
        loss = expression_loss(expression, np.array([1.0, 2.0]), np.array([[True, False]]))
    np.testing.assert_allclose(tape.gradient(loss, expression), [[[2.0, 2.0], [0.0, 0.0]]])
