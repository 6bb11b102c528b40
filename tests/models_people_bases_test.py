"""Bases of known people: what they span, their scale, and what the OCL keeps out of them."""

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.geometry.alignment import aligned_rmse, procrustes
from fml_tf.models.building import build_model
from fml_tf.models.face_models.graph import COMPLEMENT
from fml_tf.models.face_models.people_bases import people_bases

COUNT, RANK = 40, 3


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(network_width=0.02, shape_size=5, albedo_size=4, num_graph_nodes=150)
    return build_model(config)


@pytest.fixture(scope="module")
def people(model):
    """Shapes that the graph can show, of three smooth directions, and albedos of two."""
    rng = np.random.default_rng(0)
    face_model, mean = model.face_model, model.template.mean_shape
    places = mean[face_model.graph.node_vertices] / 70.0
    waves = np.cos(places @ rng.normal(size=(3, RANK)) + rng.uniform(0, 6, RANK))
    nodes = 0.02 * waves[:, None] * rng.normal(size=(3, RANK))
    nodes = face_model.orthogonal_complement(nodes.reshape(-1, RANK)).numpy()
    coefficients = rng.normal(size=(COUNT, RANK))
    displacements = face_model.skin(
        tf.constant((nodes @ coefficients.T).reshape(len(places), 3, -1), tf.float32)
    )
    shapes = mean + np.moveaxis(displacements.numpy(), -1, 0)
    sizes = rng.uniform(0.9, 1.1, COUNT)[:, None, None]
    shapes = sizes * shapes + rng.normal(size=(COUNT, 1, 3)) * 5.0
    directions = 0.05 * rng.normal(size=(2, *mean.shape))
    albedos = 0.5 + np.einsum("nk,kvc->nvc", rng.normal(size=(COUNT, 2)), directions)
    return shapes, albedos


def shown_by(model, bases, shapes):
    """Errors of the best faces in the span, as shares of the mean face's, and their coefficients.

    Each may lie anywhere and be of any size.
    """
    face_model, mean = model.face_model, model.template.mean_shape.astype(np.float64)
    face, count = model.template.regions["face"], bases.shape.shape[1]
    nodes = tf.reshape(bases.shape, (face_model.num_nodes, 3, count))
    columns = face_model.skin(nodes).numpy()[face].reshape(-1, count)
    x, y, z = mean[face].T
    zero, one = np.zeros_like(x), np.ones_like(x)
    moves = [(one, zero, zero), (zero, one, zero), (zero, zero, one)]
    moves += [(zero, -z, y), (z, zero, -x), (-y, x, zero), (x, y, z)]
    moves = np.stack([np.stack(move, axis=1).ravel() for move in moves], axis=1)
    ratios, found = [], []
    for shape in shapes:
        target = procrustes(shape[face], mean[face]).apply(shape[face]) - mean[face]
        both = np.concatenate([columns, moves], axis=1)
        coefficients = np.linalg.lstsq(both, target.ravel(), rcond=1e-9)[0][:count]
        shown = mean[face] + (columns @ coefficients).reshape(-1, 3)
        ratios.append(aligned_rmse(shown, shape[face]) / aligned_rmse(mean[face], shape[face]))
        found.append(coefficients)
    return np.mean(ratios), np.array(found)


def test_people_lie_in_the_span_and_coefficients_are_of_size_one(model, people):
    constants = model.face_model.constants()
    constants[COMPLEMENT] = np.zeros((3 * model.face_model.num_nodes, 0))  # takes nothing away
    free = build_model(model.config, constants)
    ratio, coefficients = shown_by(free, people_bases(free.face_model, *people), people[0])
    assert ratio < 0.05
    sizes = np.sqrt(np.mean(np.square(coefficients), axis=0))
    np.testing.assert_allclose(sizes[:RANK], 1.0, rtol=0.1)


def test_nothing_of_the_bases_is_what_the_layer_takes_away(model, people):
    bases = people_bases(model.face_model, *people)
    nodes = model.face_model.orthogonal_complement(bases.shape)
    np.testing.assert_allclose(nodes, bases.shape, atol=1e-4 * np.abs(bases.shape).max())
    assert shown_by(model, bases, people[0])[0] < 0.5


def test_albedos_come_back_from_as_many_vectors_as_they_have(model, people):
    shapes, albedos = people
    bases = people_bases(model.face_model, shapes, albedos)
    np.testing.assert_allclose(bases.albedo_mean, albedos.mean(axis=0).ravel(), atol=1e-5)
    difference = (albedos - albedos.mean(axis=0)).reshape(COUNT, -1)
    fitted = np.linalg.lstsq(bases.albedo, difference.T, rcond=1e-4)[0]
    np.testing.assert_allclose((bases.albedo @ fitted).T, difference, atol=1e-4)


def test_people_of_another_mesh_are_refused(model, people):
    shapes, albedos = people
    with pytest.raises(ValueError, match="do not fit the template"):
        people_bases(model.face_model, shapes[:, 1:], albedos[:, 1:])
