"""The orthogonal complement layer and the expressions in the graph's domain."""

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from fml_tf.models.face_models.orthogonal_complement import (
    OrthogonalComplement,
    graph_expression_basis,
)


def _skinning(num_vertices=40, num_nodes=12, seed=0):
    rng = np.random.default_rng(seed)
    weights = np.zeros((num_vertices, num_nodes))
    for row in weights:
        row[rng.choice(num_nodes, 3, replace=False)] = rng.random(3)
    return scipy.sparse.csr_matrix(weights / weights.sum(1, keepdims=True))


def _graph_basis(num_expressions, rank, num_nodes=12, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3 * num_nodes, rank)) @ rng.normal(size=(rank, num_expressions))


def _to_vertices(skinning, graph_basis):
    """S·B_G as an expression basis [b, V, 3]."""
    nodes = graph_basis.T.reshape(graph_basis.shape[1], -1, 3)
    return np.stack([skinning @ displacement for displacement in nodes])


@pytest.mark.parametrize("rank", [6, 3])
def test_basis_spans_the_expressions_and_drops_null_directions(rank):
    skinning, graph_basis = _skinning(), _graph_basis(6, rank)
    q = graph_expression_basis(_to_vertices(skinning, graph_basis), skinning)
    assert q.shape == (36, rank)
    np.testing.assert_allclose(q.T @ q, np.eye(rank), atol=1e-10)
    np.testing.assert_allclose(q @ (q.T @ graph_basis), graph_basis, atol=1e-6)


@pytest.mark.parametrize("rank", [6, 3])
def test_output_is_orthogonal_to_the_expressions(rank):
    skinning, graph_basis = _skinning(), _graph_basis(6, rank)
    layer = OrthogonalComplement(
        graph_expression_basis(_to_vertices(skinning, graph_basis), skinning)
    )
    theta = tf.random.stateless_normal((36, 10), (3, 4))
    residual = graph_basis.T @ layer(theta).numpy()
    assert np.linalg.norm(residual) <= 1e-6 * np.linalg.norm(graph_basis) * np.linalg.norm(theta)


def test_projecting_the_vector_equals_projecting_the_basis():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(36, 6)))
    layer = OrthogonalComplement(q, dtype="float64")
    theta = tf.random.stateless_normal((36, 10), (3, 4), dtype=tf.float64)
    alpha = tf.random.stateless_normal((10, 2), (5, 6), dtype=tf.float64)
    np.testing.assert_allclose(layer(theta) @ alpha, layer(theta @ alpha), atol=1e-12)


def test_projection_is_idempotent_and_its_gradient_is_itself():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 4)))
    layer = OrthogonalComplement(q, dtype="float64")
    theta = tf.random.stateless_normal((12, 3), (3, 4), dtype=tf.float64)
    np.testing.assert_allclose(layer(layer(theta)), layer(theta), atol=1e-12)
    analytic, numeric = tf.test.compute_gradient(layer, [theta])
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)


def test_no_expressions_make_it_the_identity():
    theta = tf.random.stateless_normal((12, 3), (3, 4))
    np.testing.assert_array_equal(OrthogonalComplement(np.zeros((12, 0)))(theta), theta)


def test_refuses_a_basis_that_is_not_orthonormal():
    with pytest.raises(ValueError, match="orthonormal"):
        OrthogonalComplement(np.ones((6, 2)))


def test_survives_serialisation():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 4)))
    layer = OrthogonalComplement(q)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    theta = tf.random.stateless_normal((12, 3), (3, 4))
    np.testing.assert_allclose(copy(theta), layer(theta))
