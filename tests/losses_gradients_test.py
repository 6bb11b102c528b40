"""Gradients of every term against finite differences in float64, and under XLA in float32."""

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.losses.expression import expression_loss
from fml_tf.losses.landmark import gather_landmarks, landmark_loss
from fml_tf.losses.photometric import photometric_loss
from fml_tf.losses.smoothness import smoothness_loss
from fml_tf.losses.sparsity import sparsity_loss

B, M = 2, 3
N = B * M
EDGES = np.array([[0, 1], [1, 2], [0, 3]], np.int32)
MASK = np.array([[True, True, False], [True, True, True]])


def make_terms(dtype):
    """Every term as (function of its differentiable inputs, those inputs)."""
    random = np.random.default_rng(0)

    def draw(*shape):
        return tf.constant(random.uniform(0.1, 0.9, shape), dtype)

    seen = tf.constant((random.random((4, N)) > 0.4) & MASK.reshape(-1), dtype)
    detected, confidence, sigma = draw(N, 3, 2), draw(N, 3), draw(5)
    weights = draw(len(EDGES), B)
    indices = tf.constant(random.integers(0, 4, (N, 3)), tf.int32)
    equal = draw(1, 3, B)
    return {
        "photometric": (
            lambda colours, observed: photometric_loss(colours, observed, seen, B),
            [draw(4, 3, N), draw(4, 3, N)],
        ),
        "landmark": (
            lambda positions: landmark_loss(
                gather_landmarks(positions, indices), detected, confidence, MASK.reshape(-1), 0.7, B
            ),
            [draw(4, 2, N)],
        ),
        "smoothness": (lambda t: smoothness_loss(t, EDGES), [draw(4, 3, B)]),
        "sparsity": (lambda r: sparsity_loss(r, EDGES, weights), [draw(4, 3, B)]),
        "sparsity at equal albedos": (
            lambda r: sparsity_loss(r, EDGES, weights),
            [tf.tile(equal, [4, 1, 1])],
        ),
        "expression": (lambda d: expression_loss(d, sigma, MASK), [draw(B, M, 5)]),
    }


@pytest.mark.parametrize("name", make_terms(tf.float64))
def test_gradient_matches_finite_differences(name):
    term, inputs = make_terms(tf.float64)[name]
    # At equal albedos the term is a parabola only well inside its floor of 1e-4.
    analytic, numeric = tf.test.compute_gradient(term, inputs, delta=1e-6)
    for a, n in zip(analytic, numeric):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, n, rtol=1e-5, atol=1e-8)
    if name == "sparsity at equal albedos":
        np.testing.assert_array_equal(analytic[0], 0)
    else:
        assert all(np.abs(a).max() > 1e-3 for a in analytic)


def test_xla_agrees_with_eager_execution_in_float32():
    terms = make_terms(tf.float32).values()
    inputs = [list(arguments) for _, arguments in terms]

    def losses_and_gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            losses = [term(*arguments) for (term, _), arguments in zip(terms, inputs)]
            total = tf.add_n(losses)
        gradients = tf.nest.flatten(tape.gradient(total, inputs))
        return losses + [tf.convert_to_tensor(gradient) for gradient in gradients]

    compiled = tf.function(losses_and_gradients, jit_compile=True)(inputs)
    eager = losses_and_gradients(inputs)
    for c, e in zip(compiled, eager, strict=True):
        assert c.dtype == tf.float32
        np.testing.assert_allclose(c, e, rtol=1e-4, atol=1e-6)
