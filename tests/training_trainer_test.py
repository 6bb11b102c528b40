"""The training run: it learns, resumes exactly, stops on NaN by name, writes what it says."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from fake_data import FakeBuilder
from tensorboard.backend.event_processing import event_accumulator

from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.models.building import build_model
from fml_tf.models.saving import BEST, LAST, load_model, read_description, save_model
from fml_tf.training.trainer import NonFiniteLossError, Trainer, make_strategy

MODEL = ModelConfig(network_width=0.03, crop_size=96, shape_size=4, albedo_size=4)
RUN = TrainConfig(
    num_frames=2,
    batch_size=2,
    pretrain_steps=2,
    joint_steps=3,
    finetune_steps=1,
    network_learning_rate=1e-3,
    shape_learning_rate=1e-3,
    albedo_learning_rate=1e-3,
    log_every=1,
    image_summary_every=6,
    checkpoint_every=3,
)


def _trainer(output_dir, builder=None, **changes):
    config = dataclasses.replace(RUN, **changes)
    strategy = make_strategy(config.distribution)
    return Trainer(MODEL, config, builder or FakeBuilder(), str(output_dir), strategy)


def _weights(trainer):
    return [weight.numpy() for weight in trainer.model.weights]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("whole")
    trainer = _trainer(output_dir)
    trainer.run()
    return trainer, output_dir


class _CutError(Exception):
    pass


def test_a_cut_run_resumes_to_the_same_weights(whole_run, tmp_path):
    trainer = _trainer(tmp_path)
    step_of_stage = trainer._step_of_stage  # cut in step 5, two steps after the last checkpoint

    def cut(*_):
        raise _CutError

    calls = []

    def counting(function):
        return lambda *args: calls.append(0) or (cut() if len(calls) == 5 else function(*args))

    trainer._step_of_stage = lambda stage: counting(step_of_stage(stage))
    with pytest.raises(_CutError):
        trainer.run()
    resumed = _trainer(tmp_path)
    assert resumed.restore() == 3
    resumed.run()
    for ours, theirs in zip(_weights(resumed), _weights(whole_run[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_stage_one_leaves_the_identity_alone(tmp_path):
    trainer = _trainer(tmp_path, joint_steps=0, finetune_steps=0)
    before = [w.numpy() for w in trainer.model.face_model.weights]
    head = trainer.model.encoder.identity_network.body[-1].kernel.numpy()
    trainer.run()
    for ours, theirs in zip(before, trainer.model.face_model.weights):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(head, trainer.model.encoder.identity_network.body[-1].kernel)
    assert np.any(trainer.model.encoder.parameter_network.body[-1].kernel)


def test_orthogonality_holds_after_training(whole_run):
    trainer, _ = whole_run
    layer = trainer.model.face_model.orthogonal_complement
    theta = trainer.model.face_model.shape_basis.value
    residual = np.linalg.norm(layer.basis.T @ layer(theta).numpy())
    assert residual <= 1e-6 * np.linalg.norm(layer.basis) * np.linalg.norm(theta)


def test_loss_falls_on_a_batch_that_repeats(tmp_path):
    builder = FakeBuilder(num_examples=2)
    trainer = _trainer(tmp_path, builder, pretrain_steps=40, joint_steps=40, finetune_steps=0)
    trainer.run()
    total = _scalars(tmp_path, "loss/total")
    assert total[-1] < 0.7 * total[0]


def _scalars(output_dir, tag):
    events = event_accumulator.EventAccumulator(
        str(output_dir / "tensorboard"), size_guidance={"tensors": 0}
    )
    events.Reload()
    return [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors(tag)]


def test_tensorboard_gets_every_term_and_pictures(whole_run):
    _, output_dir = whole_run
    events = event_accumulator.EventAccumulator(
        str(output_dir / "tensorboard"), size_guidance={"tensors": 0}
    )
    events.Reload()
    tags = set(events.Tags()["tensors"])
    terms = {"photometric", "landmark", "smoothness", "sparsity", "expression", "total"}
    assert {f"loss/{term}" for term in terms} <= tags
    assert {"error/landmark_px", "error/photometric_rgb"} <= tags
    assert any("overlay" in tag for tag in tags)
    assert len(events.Tensors("loss/total")) == 6


def test_the_checkpoint_loads_as_a_model(whole_run):
    trainer, output_dir = whole_run
    model = load_model(str(output_dir))
    for ours, theirs in zip(model.weights, trainer.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    values = json.loads((output_dir / "last" / "model.json").read_text())
    assert values["config"]["crop_size"] == 96
    assert values["training_data"] == "fake/1.0.0" and values["steps"] == 6


def test_training_starts_from_another_runs_weights(whole_run, tmp_path):
    trainer, output_dir = whole_run
    started = _trainer(tmp_path, initial_checkpoint=str(output_dir))
    assert started.restore() == 0
    for ours, theirs in zip(_weights(started), _weights(trainer), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="trained with another model: shape_size=4"):
        other = dataclasses.replace(MODEL, shape_size=5)
        config = dataclasses.replace(RUN, initial_checkpoint=str(output_dir))
        strategy = make_strategy("none")
        Trainer(other, config, FakeBuilder(), str(tmp_path), strategy).restore()
    with pytest.raises(ValueError, match="give one of the two"):
        _trainer(tmp_path / "a", initial_checkpoint=str(output_dir), initial_bases="smooth")
    with pytest.raises(FileNotFoundError, match="holds no model"):
        _trainer(tmp_path / "b", initial_checkpoint=str(tmp_path / "none")).restore()


def test_a_run_that_was_cut_before_its_first_checkpoint_begins_anew(whole_run, tmp_path):
    """The saved model is written first: what it holds is of steps that are run again."""
    trainer, output_dir = whole_run
    save_model(build_model(MODEL), tmp_path / LAST)
    started = _trainer(tmp_path, initial_checkpoint=str(output_dir))
    assert started.restore() == 0
    for ours, theirs in zip(_weights(started), _weights(trainer), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_run_goes_on_where_more_steps_are_asked_for(whole_run, tmp_path):
    copy = shutil.copytree(whole_run[1], tmp_path / "run")
    longer = _trainer(copy, finetune_steps=3)
    assert longer.restore() == 6 and longer.schedule.total_steps == 8
    longer.run()
    assert read_description(copy / LAST).steps == 8


def test_a_run_of_version_0_1_is_refused_in_one_line(tmp_path):
    text = json.dumps({**dataclasses.asdict(MODEL), "template_hash": "0"})
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"cannot be resumed; convert it: python -m fml"):
        _trainer(tmp_path)


def test_a_run_on_a_template_that_has_changed_is_refused(whole_run, tmp_path):
    copy = shutil.copytree(whole_run[1], tmp_path / "run")
    told = json.loads((copy / LAST / "model.json").read_text())
    told["template"]["hash"] = "0"
    (copy / LAST / "model.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="another template"):
        _trainer(copy)


VALIDATED = ("train", "validation")


def _say(trainer, figures):
    """Puts figures, each with its total and its landmark error, in the place of validations."""
    figures = iter(figures)
    trainer.validator.run = lambda _: dict(zip(("total", "landmark_px"), next(figures)))


def _steps(output_dir):
    return [read_description(output_dir / name).steps for name in (BEST, LAST)]


def test_validation_looks_at_its_people_and_keeps_the_best(tmp_path):
    trainer = _trainer(tmp_path, FakeBuilder(splits=VALIDATED), validate_every=2)
    figures = trainer.validator.run(3)
    assert figures["num_examples"] == 3
    assert all(np.isfinite(value) for value in figures.values())
    _say(trainer, [(3.0, 9.0), (1.0, 9.0), (2.0, 9.0)])
    trainer.run()
    assert _steps(tmp_path) == [4, 6]
    assert read_description(tmp_path / BEST).metrics["validation"]["total"] == 1.0
    assert _scalars(tmp_path, "validation/total") == [3.0, 1.0, 2.0]
    trainer.load_best()
    for ours, theirs in zip(_weights(trainer), load_model(tmp_path / BEST).weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_is_kept_over_a_resume_but_not_over_other_weights_of_the_loss(tmp_path):
    builder = FakeBuilder(splits=VALIDATED)
    trainer = _trainer(tmp_path, builder, validate_every=3)
    _say(trainer, [(1.0, 9.0), (2.0, 9.0)])
    trainer.run()
    resumed = _trainer(tmp_path, builder, validate_every=3, finetune_steps=4)
    _say(resumed, [(1.5, 9.0)])
    resumed.run()
    assert _steps(tmp_path) == [3, 9]
    other = _trainer(tmp_path, builder, validate_every=3, finetune_steps=7, landmark_weight=100.0)
    _say(other, [(50.0, 9.0)])
    other.run()
    assert _steps(tmp_path) == [12, 12]


def test_a_criterion_ends_a_stage_and_stays_over_a_resume(tmp_path):
    changes = {"pretrain_steps": 4, "pretrain_until_landmark_px": 5.0, "validate_every": 1}
    trainer = _trainer(tmp_path, FakeBuilder(splits=VALIDATED), **changes)
    _say(trainer, [(1.0, 9.0), (1.0, 4.0), *[(1.0, 9.0)] * 6])
    trainer.run()
    assert trainer.schedule.ends == [2, 7, 8]
    resumed = _trainer(tmp_path, FakeBuilder(splits=VALIDATED), **changes)
    assert resumed.schedule.ends == [4, 7, 8]
    assert resumed.restore() == 8 and resumed.schedule.ends == [2, 7, 8]
    with pytest.raises(ValueError, match="has no split 'validation'"):
        _trainer(tmp_path / "none", **changes)


def test_a_damaged_checkpoint_is_refused_by_name(whole_run, tmp_path):
    copy = shutil.copytree(whole_run[1], tmp_path / "damaged")
    for data in (copy / "checkpoints").glob("*.data-*"):
        data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="ckpt-6: damaged"):
        _trainer(copy).restore()


def test_stops_on_nan_and_names_the_term(tmp_path):
    trainer = _trainer(tmp_path, FakeBuilder(poison=True))
    with pytest.raises(NonFiniteLossError, match=r"step 0: the landmark term is nan"):
        trainer.run()
    assert not list((tmp_path / "checkpoints").glob("*.index"))


def test_mirrored_strategy_gives_the_losses_of_none(whole_run, tmp_path):
    trainer = _trainer(tmp_path, distribution="mirrored")
    trainer.run()
    np.testing.assert_allclose(
        _scalars(tmp_path, "loss/total"), _scalars(whole_run[1], "loss/total"), rtol=1e-4
    )


def test_seed_decides_the_weights(tmp_path):
    first = _weights(_trainer(tmp_path / "a"))
    second = _weights(_trainer(tmp_path / "b"))
    third = _weights(_trainer(tmp_path / "c", seed=1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert not all(np.array_equal(a, c) for a, c in zip(first, third))
    assert isinstance(make_strategy("none"), tf.distribute.Strategy)
