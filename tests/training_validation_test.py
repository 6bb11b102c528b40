"""Validation: figures of known models, the best model kept, a stage ended by its criterion."""

import dataclasses
import json
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.data.batches import mean_shape
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.losses.objective import PAPER_WEIGHTS, build_objective
from fml_tf.models.building import build_model
from fml_tf.models.saving import BEST, load_model, read_description
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from fml_tf.training.report import write_report
from fml_tf.training.trainer import Trainer, make_strategy
from fml_tf.training.validation import Validator

MODEL = ModelConfig(network_width=0.03, shape_size=4, albedo_size=4)
RUN = TrainConfig(
    num_frames=2,
    batch_size=2,
    pretrain_steps=4,
    joint_steps=2,
    finetune_steps=0,
    validate_every=2,
    log_every=1,
    image_summary_every=1000,
    checkpoint_every=3,
)


class PeopleBuilder:
    """Three synthetic people of two frames, who are in all splits, in the place of a builder."""

    def __init__(self):
        generator = FaceGenerator(FrameSettings(num_frames=2))
        examples = [generator.example(generator.person(i), i, 0) for i in range(3)]
        self.examples = {key: np.stack([e[key] for e in examples]) for key in examples[0]}
        split = types.SimpleNamespace(num_examples=3)
        self.info = types.SimpleNamespace(
            splits=dict.fromkeys(("train", "validation", "test"), split),
            full_name="people/1.0.0",
            features=dict.fromkeys(self.examples),
        )

    def as_dataset(self, split, decoders, read_config):
        del split, decoders, read_config
        return tf.data.Dataset.from_tensor_slices(self.examples)


@pytest.fixture(scope="module")
def builder():
    return PeopleBuilder()


@pytest.fixture(scope="module")
def model(builder):
    model = build_model(MODEL)
    model.training_mean = mean_shape(builder)
    return model


@pytest.fixture(scope="module")
def figures(builder, model):
    objective = build_objective(model, PAPER_WEIGHTS)
    return Validator(model, objective, builder, "validation", 2).run()


def _error_of(shape, model, builder):
    face = model.template.regions["face"]
    return [aligned_rmse(shape[face], truth[face]) for truth in builder.examples["neutral_shape"]]


def test_an_untrained_model_has_the_error_of_the_template(figures, model, builder):
    expected = np.mean(_error_of(model.template.mean_shape, model, builder))
    for name in ("shape_m1", "shape_m2", "shape_template_mean"):
        assert figures[name] == pytest.approx(expected, rel=1e-4)
    assert figures["expressive_m2"] > expected
    assert figures["num_examples"] == 3


def test_r2_is_measured_against_the_training_peoples_mean(figures, model, builder):
    constant = _error_of(model.training_mean, model, builder)
    template = _error_of(model.template.mean_shape, model, builder)
    assert figures["shape_training_mean"] == pytest.approx(np.mean(constant), rel=1e-4)
    expected = 1 - np.mean(np.square(template)) / np.mean(np.square(constant))
    assert figures["shape_r2_m1"] == pytest.approx(expected, abs=1e-3)
    assert figures["shape_r2_m2"] == pytest.approx(expected, abs=1e-3) and expected < 0


def test_neutral_faces_explain_none_of_the_expressions(figures):
    assert figures["expression_r2_m2"] < 0.01
    assert figures["albedo_m2"] > 0


def test_one_frame_a_person_is_enough(model, builder):
    objective = build_objective(model, PAPER_WEIGHTS)
    figures = Validator(model, objective, builder, "validation", 1).run(max_examples=2)
    assert figures["shape_r2_m1"] < 0 and "shape_r2_m2" not in figures


def test_without_a_known_mean_there_are_no_shapes(builder):
    other = build_model(MODEL)  # which nobody told the mean of its people
    objective = build_objective(other, PAPER_WEIGHTS)
    figures = Validator(other, objective, builder, "validation", 2).run(max_examples=1)
    assert set(figures) == {"total", "landmark_px", "photometric_rgb", "num_examples"}
    assert figures["num_examples"] == 1


def test_the_best_model_is_kept_and_a_stage_ends_by_its_criterion(builder, tmp_path):
    config = dataclasses.replace(RUN, pretrain_until_landmark_px=1e3)
    trainer = Trainer(MODEL, config, builder, str(tmp_path), make_strategy("none"))
    seen = []
    run = trainer.validator.run

    def recording(max_examples):
        figures = run(max_examples)
        seen.append((figures["total"], trainer.schedule.ends[0]))
        return figures

    trainer.validator.run = recording
    trainer.run()
    assert [end for _, end in seen] == [4, 2, 2]  # the first validation ended the first stage
    best = read_description(tmp_path / BEST)
    totals = [total for total, _ in seen]
    assert best.steps == 2 * (1 + int(np.argmin(totals)))
    assert best.metrics["validation"]["total"] == pytest.approx(min(totals))
    np.testing.assert_array_equal(load_model(tmp_path).training_mean, mean_shape(builder))

    resumed = Trainer(MODEL, config, builder, str(tmp_path), make_strategy("none"))
    assert resumed.restore() == 6 and resumed.schedule.ends[0] == 2
    assert resumed._best == pytest.approx(min(totals))


def test_the_report_shows_the_best_and_the_worst_in_3d(builder, tmp_path):
    config = dataclasses.replace(RUN, pretrain_steps=0, joint_steps=1, finetune_steps=0)
    trainer = Trainer(MODEL, config, builder, str(tmp_path), make_strategy("none"))
    trainer.run()
    trainer.validator.run()
    errors = trainer.validator.errors
    truths = builder.examples["neutral_shape"]
    assert len(errors) == len(truths) == 3
    metrics = {"split": "validation", "num_examples": 3}
    write_report(str(tmp_path), trainer, builder, metrics, errors, num_people=1)
    report = (tmp_path / "report.html").read_text()
    for rank, error in (("best", min(errors)), ("worst", max(errors))):
        assert f'<a href="{rank}.html">{rank}</a>\n({error:.2f} mm)' in report
        (data,) = re.findall(r'id="data">(.*?)</script>', (tmp_path / f"{rank}.html").read_text())
        assert len(json.loads(data)["frames"]) == 2


def test_bases_start_from_the_people_and_the_prior_is_kept_with_the_model(builder, tmp_path):
    config = dataclasses.replace(RUN, initial_bases="people", pretrain_steps=0, joint_steps=2)
    trainer = Trainer(MODEL, config, builder, str(tmp_path), make_strategy("none"))
    face_model = trainer.model.face_model
    # Three people span three directions about the template's mean; the fourth stays at random.
    spread = np.linalg.norm(face_model.shape_basis.numpy(), axis=0)
    assert (spread[:3] > 10 * spread[3]).all()
    mean = builder.examples["albedo"].mean(axis=0).reshape(-1)
    np.testing.assert_allclose(face_model.mean_albedo, mean, atol=1e-5)

    trainer.run()
    trainer.load_best()
    trainer.measure_prior()
    prior = load_model(tmp_path).prior
    size = MODEL.shape_size + MODEL.albedo_size
    assert prior.identity_single.shape == prior.identity_pooled.shape == (size, size)
    assert prior.num_people == 3 and (prior.landmark_px > 0).all()
    # Of a network that says the mean face: whitened coefficients of the people themselves.
    assert 0.3 < np.sqrt(np.diag(prior.identity_pooled)[:3]).mean() < 2.0
