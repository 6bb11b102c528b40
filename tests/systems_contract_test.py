"""What every system must keep, whatever its encoder and its face model; and a toy second system.

A new system is put under the contract by its line in `fml_tf.models.building.SYSTEMS`.
"""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from fake_data import FakeBuilder

from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.data.batches import training_batches
from fml_tf.losses.base import Loss, LossValue
from fml_tf.losses.objective import LOSSES, build_objective, loss_weights
from fml_tf.models import building
from fml_tf.models.encoders.aggregation import mean_over_frames
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.models.reconstructor import hold_at_mean
from fml_tf.models.saving import load_model, save_model, weights_by_name
from fml_tf.serving.signatures import FaceService
from fml_tf.training.optimizer import FusedAdam
from fml_tf.training.schedule import Schedule, stages_of
from fml_tf.training.train_step import TrainStep

SIZE = 80
TINY = ModelConfig(
    network_width=0.05, crop_size=SIZE, shape_size=6, albedo_size=5, prior_size=7, corrective_size=4
)
# What each learns from beside landmarks and colours.
TERMS = {
    "fml": ("smoothness", "sparsity", "expression"),
    "toy": ("smoothness", "sparsity", "expression"),
    "mofa": ("inner_landmark", "robust_photometric", "shape_prior", "albedo_prior", "expression"),
    "multilevel": (
        "base_landmark",
        "base_photometric",
        "robust_visible_photometric",
        "corrective_smoothness",
        "corrective_size",
        "reflectance_sparsity",
        "reflectance_constancy",
    ),
    "deep3d": ("weighted_landmark", "flat_albedo", "shape_prior", "albedo_prior", "expression"),
    "deep3d_sets": ("weighted_landmark", "shape_prior"),
}


class ToyEncoder(Encoder):
    """Thumbnails and two dense layers, with dropout so that `training` shows."""

    def __init__(self, config, identity_size, frame_size, **kwargs):
        super().__init__(config, identity_size, frame_size, **kwargs)
        self.shrink = keras.layers.AveragePooling2D(16)
        self.flatten = keras.layers.Flatten()
        self.body = keras.layers.Dense(8, activation="relu", name="body")
        self.dropout = keras.layers.Dropout(0.1, name="dropout")
        self.identity_head = keras.layers.Dense(
            identity_size, kernel_initializer="zeros", name="identity_head"
        )
        self.frame_head = keras.layers.Dense(
            frame_size, kernel_initializer="zeros", name="frame_head"
        )

    def build(self, input_shape):
        size = input_shape[1] // 16
        self.body.build((None, 3 * size * size))
        self.identity_head.build((None, 8))
        self.frame_head.build((None, 8 + self.identity_size))

    def features(self, frames, training):
        pixels = self.flatten(self.shrink(frames))
        return self.dropout(self.body(pixels), training=training)

    def identity(self, features, frame_mask, training):
        del training
        return self.identity_head(mean_over_frames(features, frame_mask))

    def frame_parameters(self, features, identity, training):
        del training
        repeated = tf.repeat(identity, tf.shape(features)[0] // tf.shape(identity)[0], axis=0)
        return self.frame_head(tf.concat([features, repeated], axis=-1))


@pytest.fixture(scope="module", autouse=True)
def toy_system():
    """One encoder file and one line."""
    building.SYSTEMS["toy"] = building.System(ToyEncoder, GraphFaceModel)
    yield
    del building.SYSTEMS["toy"]


@pytest.fixture(scope="module", params=[*building.SYSTEMS, "toy"])
def system(request):
    return request.param


@pytest.fixture(scope="module")
def config(system):
    backbone = "resnet18" if system.startswith("deep3d") else ""
    return dataclasses.replace(TINY, system=system, backbone=backbone)


@pytest.fixture(scope="module")
def model(config):
    """Untrained, but for heads, which start at zero, that were given something to say."""
    keras.utils.set_random_seed(1)
    model = building.build_model(config)
    _give_heads_something_to_say(model, model.encoder.trainable_weights)
    return model


def _give_heads_something_to_say(model, weights):
    rng = np.random.default_rng(0)
    heads = [*weights, *(w for w in model.encoder.weights if w.path.endswith("rnet/head/kernel"))]
    for weight in heads:
        if not np.any(weight):
            weight.assign(rng.normal(size=weight.shape, scale=0.02))


def _frames(num_people, num_frames):
    return tf.random.stateless_uniform((num_people, num_frames, SIZE, SIZE, 3), (0, 1))


def _identity(model, frames, mask=None):
    mask = np.ones(frames.shape[:2], bool) if mask is None else np.array(mask)
    return np.concatenate(list(model.encode(frames, mask).identity.values()), axis=1)


def test_the_first_prediction_is_the_mean_face_in_its_place(config):
    model = building.build_model(config)
    faces = model(_frames(1, 2), np.ones((1, 2), bool))
    mean = model.face_model.mean_shape
    np.testing.assert_allclose(faces.identity.neutral_vertices[..., 0], mean, atol=1e-3)
    inside = faces.positions.numpy()[model.template.landmark_vertices]
    assert 0 < inside.min() < inside.max() < SIZE
    assert np.mean(faces.visible.numpy()[model.template.regions["face"]]) > 0.8


def test_weights_are_counted_and_each_is_in_one_group(model):
    counted = sum(model.count_weights().values())
    assert counted == sum(np.prod(weight.shape, dtype=int) for weight in model.weights)
    assert len(weights_by_name(model)) == len(model.weights)
    groups = model.weight_groups()
    grouped = [variable.ref() for variables in groups.values() for variable in variables]
    assert sorted(map(hash, grouped)) == sorted(
        hash(weight.value.ref()) for weight in model.trainable_weights
    )


def test_frame_order_and_copies_do_not_change_the_identity(model):
    frames = _frames(1, 4)
    expected = _identity(model, frames)
    shuffled = tf.gather(frames, [2, 0, 3, 1], axis=1)
    np.testing.assert_allclose(_identity(model, shuffled), expected, atol=1e-5)
    one = _identity(model, frames[:, :1])
    copies = tf.repeat(frames[:, :1], 3, axis=1)
    np.testing.assert_allclose(_identity(model, copies), one, atol=1e-5)
    assert np.abs(one - expected).max() > 1e-5


def test_masked_frames_do_not_touch_the_identity(model):
    frames = _frames(2, 3)
    masked = _identity(model, frames, [[True, True, False], [True] * 3])
    np.testing.assert_allclose(masked[:1], _identity(model, frames[:1, :2]), atol=1e-5)
    np.testing.assert_allclose(masked[1:], _identity(model, frames[1:]), atol=1e-5)


def test_people_of_a_batch_do_not_touch_each_other(model):
    frames = _frames(3, 2)
    together = model(frames, np.ones((3, 2), bool))
    alone = model(frames[1:2], np.ones((1, 2), bool))
    np.testing.assert_allclose(together.vertices[..., 2:4], alone.vertices, atol=1e-2)
    colours = alone.colours.numpy()
    atol = 1e-4 * max(1.0, np.abs(colours).max())
    np.testing.assert_allclose(together.colours[..., 2:4], colours, atol=atol)


def test_an_edited_identity_is_what_the_frames_are_regressed_under(model):
    frames, mask = _frames(1, 2), np.ones((1, 2), bool)
    held = model.encode(frames, mask, hold_at_mean)
    assert not any(np.any(values) for values in held.identity.values())
    if model.encoder.monocular or model.encoder.inner:  # which regress all at once
        return
    assert not np.allclose(held.expression, model.encode(frames, mask).expression, atol=1e-7)


def _objective(model):
    """The losses of a system, at weights at which none counts for nothing or for all."""
    usual = loss_weights(TrainConfig())
    weights = {name: usual[name] or 1e-3 for name in TERMS[model.name]}
    return build_objective(model, {"landmark": 4.7, "photometric": 1.6} | weights)


@pytest.fixture(scope="module")
def trained(config):
    """A model after some steps on one batch, what was before, and the losses."""
    keras.utils.set_random_seed(2)
    model = building.build_model(config)
    _give_heads_something_to_say(model, [])
    before = [weight.numpy() for weight in model.trainable_weights]
    # Each stage takes a while to compile.
    first = {"fml": "pretrain_steps", "multilevel": "base_steps"}.get(model.name)
    run = TrainConfig(
        joint_steps=35,
        finetune_steps=0,
        **{"pretrain_steps": 0} | ({first: 5} if first else {}),
        network_learning_rate=1e-3,
        base_learning_rate=1e-3,
        shape_learning_rate=1e-3,
        albedo_learning_rate=1e-3,
    )
    schedule = Schedule(stages_of(run, model.weight_groups(), model.face_model.base_level))
    optimizer = FusedAdam(weight.value for weight in model.trainable_weights)
    step = TrainStep(model, _objective(model), optimizer)
    builder = FakeBuilder(num_examples=2, size=SIZE)
    batch = next(iter(training_batches(builder, num_frames=2, global_batch_size=2, seed=0)))

    def compiled(stage):
        return tf.function(
            lambda rates: step(batch, rates, stage.edit_identity, stage.without).total
        )

    steps = [compiled(stage) for stage in schedule.stages]  # traced when they are called
    losses = []
    for number in range(schedule.total_steps):
        rates = {name: tf.constant(r) for name, r in schedule.rates_at(number).items()}
        losses.append(float(steps[schedule.index_at(number)](rates)))
    return model, before, losses


def test_training_lowers_the_loss(trained):
    model, _, losses = trained
    if model.encoder.inner is None:
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    else:  # what learns only how to weigh frames cannot lower it by much
        assert losses[-1] < losses[0]


def test_training_moves_all_weights(trained):
    model, before, _ = trained
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path
        assert np.isfinite(weight.numpy()).all(), weight.path


def test_a_group_without_a_rate_is_held_and_the_others_learn_as_ever(config, model):
    if len(model.weight_groups()) == 1:
        return
    builder = FakeBuilder(num_examples=2, size=SIZE)
    batch = next(iter(training_batches(builder, num_frames=2, global_batch_size=2, seed=0)))

    def after_a_step(groups):
        keras.utils.set_random_seed(3)
        model = building.build_model(config)
        _give_heads_something_to_say(model, [])
        before = {name: variable.numpy() for name, variable in weights_by_name(model).items()}
        optimizer = FusedAdam(weight.value for weight in model.trainable_weights)
        step = TrainStep(model, _objective(model), optimizer)
        step(batch, dict.fromkeys(groups or model.weight_groups(), tf.constant(1e-3)))
        return model, before

    whole, _ = after_a_step(None)
    names = {variable.ref(): name for name, variable in weights_by_name(whole).items()}
    for group, variables in whole.weight_groups().items():
        ours = {names[variable.ref()] for variable in variables}
        model, before = after_a_step([group])
        trainable = {weight.value.ref() for weight in model.trainable_weights}
        for name, variable in weights_by_name(model).items():
            if name in ours:
                learned = weights_by_name(whole)[name].numpy()
                np.testing.assert_allclose(variable, learned, atol=1e-5, err_msg=name)
            elif variable.ref() in trainable:  # the others are running statistics
                np.testing.assert_array_equal(variable, before[name], err_msg=name)


def test_a_trained_model_saves_and_loads_to_the_bit(trained, tmp_path):
    model, _, _ = trained
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    frames, mask = _frames(1, 2), np.ones((1, 2), bool)
    ours, theirs = (
        tf.nest.flatten(m(frames, mask), expand_composites=True) for m in (model, loaded)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_folded_face_model_forms_the_same_faces(model):
    parameters = model.encode(_frames(2, 2), np.ones((2, 2), bool))
    plain = model.decode(parameters)
    folded = model.decode(parameters, model.face_model.folded())
    np.testing.assert_allclose(folded.vertices, plain.vertices, atol=2e-3)
    np.testing.assert_allclose(folded.colours, plain.colours, atol=1e-4)
    half = model.decode(parameters, model.face_model.folded("float16"))
    np.testing.assert_allclose(half.vertices, plain.vertices, atol=0.5)


def test_a_model_exports(model):
    frames, mask = _frames(1, 2), np.ones((1, 2), bool)
    signature = FaceService(model).signatures()["reconstruct"]
    outputs = signature(frames=frames)
    faces = model(frames, mask)
    neutral = np.moveaxis(faces.identity.neutral_vertices.numpy(), -1, 0)
    np.testing.assert_allclose(outputs["neutral_vertices"], neutral, atol=1e-3)
    for name, values in model.encode(frames, mask).by_name().items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-4, atol=1e-4)


class _ReadsAlbedoBasis(Loss):
    def __init__(self, model):
        self._basis = model.face_model.albedo_basis

    def __call__(self, batch, parameters, faces):
        return LossValue(tf.reduce_sum(self._basis.value**2))


class _IgnoresTheShape(Loss):
    def __init__(self, model):
        pass

    def __call__(self, batch, parameters, faces):
        return LossValue(tf.reduce_sum(faces.identity.albedo))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (_ReadsAlbedoBasis, "albedo_basis:0 itself, while its gradient is taken through"),
        (_IgnoresTheShape, "the objective does not depend on it"),
    ],
)
def test_a_gradient_that_would_be_wrong_or_missing_is_refused(monkeypatch, loss, message):
    model = building.build_model(TINY)
    monkeypatch.setitem(LOSSES, "new", loss)
    weights = {"new": 1.0}
    if loss is _ReadsAlbedoBasis:
        weights |= {"landmark": 1.0, "photometric": 1.0}
    optimizer = FusedAdam(weight.value for weight in model.trainable_weights)
    step = TrainStep(model, build_objective(model, weights), optimizer)
    builder = FakeBuilder(num_examples=2, size=SIZE)
    batch = next(iter(training_batches(builder, num_frames=2, global_batch_size=2, seed=0)))
    rates = dict.fromkeys(model.weight_groups(), tf.constant(1e-3))
    with pytest.raises(ValueError, match=message):
        step(batch, rates)


def test_a_weight_in_no_group_is_refused(monkeypatch):
    model = building.build_model(TINY)
    monkeypatch.setattr(model.face_model, "weight_groups", lambda: {})
    with pytest.raises(ValueError, match="is in 0 groups of weights, must be in one"):
        model.weight_groups()
