"""The presets of all systems: they parse, and the papers' build at full size and run."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from fake_data import FakeBuilder

from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.data.batches import training_batches
from fml_tf.losses.objective import build_objective, loss_weights
from fml_tf.models.building import build_model
from fml_tf.training.optimizer import make_optimizer
from fml_tf.training.schedule import Schedule, stages_of
from fml_tf.training.train_step import TrainStep

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# As printed, with 64 blendshapes, and how many weights the last layer has for each of these.
PAPERS = {
    "mofa": (57_921_153, 4097),
    "multilevel": (62_018_153, 4097),
    "deep3d": (23_997_743, 2049),
}


def _configs(name, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    values = flags.FlagValues()
    define_flags(ModelConfig, "presets_test", values)
    define_flags(TrainConfig, "presets_test", values)
    values(["presets_test", f"--flagfile=configs/{name}.cfg"])
    return from_flags(ModelConfig, values), from_flags(TrainConfig, values)


@pytest.mark.parametrize("size", ["small", "paper"])
@pytest.mark.parametrize("system", [*PAPERS, "deep3d_sets"])
def test_a_preset_names_its_system_and_its_own_terms(system, size, monkeypatch):
    model_config, config = _configs(f"{system}_{size}", monkeypatch)
    assert model_config.system == system
    terms = {name for name, weight in loss_weights(config).items() if weight}
    assert terms & {"shape_prior", "albedo_prior", "expression"}
    # FML's own defaults do not slip in.
    assert not terms & {"photometric", "landmark", "smoothness", "sparsity"}


@pytest.mark.large
@pytest.mark.parametrize("system", PAPERS)
def test_a_paper_preset_has_the_printed_weights_and_runs(system, monkeypatch):
    model_config, config = _configs(f"{system}_paper", monkeypatch)
    model = build_model(model_config)
    printed, of_a_blendshape = PAPERS[system]
    trainable = sum(int(np.prod(w.shape)) for w in model.encoder.trainable_weights)
    missing = 64 - len(model.expression_basis.sigma)
    assert trainable == printed - missing * of_a_blendshape

    schedule = Schedule(stages_of(config, model.weight_groups(), model.face_model.base_level))
    variables = (weight.value for weight in model.trainable_weights)
    optimizer = make_optimizer(config.optimizer, variables)
    step = TrainStep(model, build_objective(model, loss_weights(config)), optimizer)
    builder = FakeBuilder(num_examples=config.batch_size, num_frames=config.num_frames, size=240)
    batch = next(
        iter(
            training_batches(
                builder,
                num_frames=config.num_frames,
                global_batch_size=config.batch_size,
                seed=0,
            )
        )
    )
    stage = schedule.stages[-2]  # with everything
    before = [weight.numpy() for weight in model.encoder.trainable_weights[-1:]]
    for _ in range(3):
        rates = {name: tf.constant(rate) for name, rate in stage.rates.items()}
        total = step(batch, rates, stage.edit_identity, stage.without).total
        assert np.isfinite(total)
    after = [weight.numpy() for weight in model.encoder.trainable_weights[-1:]]
    assert any(np.any(a != b) for a, b in zip(before, after))
