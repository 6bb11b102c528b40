"""The objective: a weighted sum of named terms, of which only those with a weight are built."""

import types

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.losses.base import Loss, LossValue
from fml_tf.losses.objective import (
    LOSSES,
    PAPER_WEIGHTS,
    Objective,
    build_objective,
    loss_weights,
)
from fml_tf.models.building import build_model


class Constant(Loss):
    """A term that is the same for every batch."""

    def __init__(self, value, normaliser=1.0):
        self.value, self.normaliser = value, normaliser

    def __call__(self, batch, parameters, faces):
        return LossValue(tf.constant(self.value, tf.float64), {f"measure {self.value:g}": batch})


def test_total_is_the_weighted_sum_and_measures_come_along():
    objective = Objective({"a": (1.6, Constant(50.0, 200)), "b": (4.7, Constant(2.0))})
    evaluation = objective.evaluate(tf.zeros([]), None, None)
    assert objective.terms == tuple(evaluation.terms) == ("a", "b")
    np.testing.assert_allclose(evaluation.terms["a"], 1.6 / 200 * 50, rtol=1e-12)
    np.testing.assert_allclose(evaluation.total, 1.6 / 200 * 50 + 4.7 * 2, rtol=1e-12)
    assert set(evaluation.measures) == {"measure 50", "measure 2"}


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(network_width=0.05, crop_size=64, shape_size=2, albedo_size=2))


def test_only_terms_with_a_weight_are_built(model):
    assert build_objective(model, PAPER_WEIGHTS).terms == tuple(PAPER_WEIGHTS)
    assert build_objective(model, {"landmark": 1.0, "sparsity": 0.0}).terms == ("landmark",)
    with pytest.raises(ValueError, match="no such loss: beauty"):
        build_objective(model, {"beauty": 1.0})
    with pytest.raises(ValueError, match="no term"):
        build_objective(model, {"landmark": 0.0})


def test_the_photometric_weight_is_divided_by_the_number_of_vertices(model):
    assert LOSSES["photometric"](model).normaliser == model.template.num_vertices


def test_the_configs_defaults_are_the_papers_weights():
    weights = loss_weights(TrainConfig())
    assert {name: weight for name, weight in weights.items() if weight} == PAPER_WEIGHTS


def test_smoothness_needs_a_graph(model):
    fake = types.SimpleNamespace(name="linear", face_model=object())
    with pytest.raises(ValueError, match="the system linear has no deformation graph"):
        LOSSES["smoothness"](fake)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_bad_weight_is_named(bad):
    with pytest.raises(ValueError, match="landmark"):
        Objective({"landmark": (bad, Constant(1.0))})
