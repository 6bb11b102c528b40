"""The benchmarks of training step and reconstruction run, and count the traffic that they state."""

import re

import pytest

from benchmarks import machine, reconstruction, train_step
from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model

CONFIG = ModelConfig(network_width=0.05, shape_size=8, albedo_size=8, num_graph_nodes=60)


@pytest.fixture(autouse=True)
def small_probes(monkeypatch):
    monkeypatch.setattr(machine, "GEMM_SIZE", 64)
    monkeypatch.setattr(machine, "STREAM_BYTES", 2**16)


def _ratio(text):
    return float(re.search(r"floor / measured ([\d.]+)", text).group(1))


def test_training_step(capsys):
    train_step.measure(CONFIG, batch_size=1, num_frames=2, rounds=1)
    assert _ratio(capsys.readouterr().out) > 0


def test_reconstruction(capsys):
    reconstruction.measure(CONFIG, num_frames=2, rounds=1)
    assert _ratio(capsys.readouterr().out) > 0


def test_traffic_grows_by_the_floats_a_weight_that_it_states():
    def model(**sizes):
        return build_model(ModelConfig(network_width=0.05, num_graph_nodes=60, **sizes))

    small, large = model(shape_size=8, albedo_size=8), model(shape_size=8, albedo_size=9)
    before, after = small.count_weights(), large.count_weights()
    grown = {name: after[name] - before[name] for name in before}
    basis = grown.pop("face_model/albedo_basis")
    assert basis == 3 * small.template.num_vertices
    # Θa: 6 floats of Adam, 2 reads; what the networks grow by: 7 of Adam.
    expected = 4 * (8 * basis + 7 * sum(grown.values()))
    assert train_step.weight_traffic(large) - train_step.weight_traffic(small) == expected
    assert reconstruction.basis_traffic(large) - reconstruction.basis_traffic(small) == 4 * basis
