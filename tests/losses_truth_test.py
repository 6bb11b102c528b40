"""Terms on the truth: zero at the truth, known values beside it, gradients where they belong."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.losses.truth import (
    DensePositionLoss,
    NeutralShapeLoss,
    RotationLoss,
    TrueAlbedoLoss,
    TrueExpressionLoss,
)
from fml_tf.models.building import build_model
from fml_tf.structures import FaceParameters, GroundTruth
from fml_tf.template.makehuman import load_makehuman

PEOPLE, FRAMES = 2, 3
MASK = np.array([[True, True, False], [True, True, True]])
TEMPLATE = load_makehuman("4k")


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(network_width=0.05, crop_size=64, shape_size=2, albedo_size=2))


@pytest.fixture
def case():
    """A batch with its truth, and faces and parameters that are just that."""
    rng = np.random.default_rng(0)
    count, units = TEMPLATE.num_vertices, len(TEMPLATE.blendshape_names)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    activations = np.abs(draw(PEOPLE, FRAMES, units)) * 0.2
    truth = {
        "neutral_shape": TEMPLATE.mean_shape + draw(PEOPLE, count, 3),
        "albedo": np.abs(draw(PEOPLE, count, 3)),
        "blendshape_activations": activations,
        "rotation": 0.3 * draw(PEOPLE, FRAMES, 3),
        "positions": 32 + 10 * draw(PEOPLE, FRAMES, count, 2),
        "illumination": draw(PEOPLE, FRAMES, 9, 3),
    }
    displacements = np.tensordot(activations.reshape(-1, units), TEMPLATE.blendshapes, axes=1)

    def vertex_major(values):
        return np.moveaxis(values.reshape(-1, *values.shape[-2:]), 0, -1)

    faces = types.SimpleNamespace(
        identity=types.SimpleNamespace(
            neutral_vertices=vertex_major(truth["neutral_shape"]),
            albedo=vertex_major(truth["albedo"]),
        ),
        displacements=vertex_major(displacements),
        positions=vertex_major(truth["positions"]),
    )
    batch = types.SimpleNamespace(
        frame_mask=tf.constant(MASK),
        truth=GroundTruth(**{name: tf.constant(value) for name, value in truth.items()}),
    )
    parameters = FaceParameters(identity={}, frame={"rotation": tf.constant(truth["rotation"])})
    return batch, parameters, faces


@pytest.mark.parametrize(
    "loss_class",
    [DensePositionLoss, NeutralShapeLoss, TrueExpressionLoss, TrueAlbedoLoss, RotationLoss],
)
def test_the_truth_costs_nothing(model, case, loss_class):
    assert float(loss_class(model)(*case).value) == pytest.approx(0, abs=1e-9)


def test_positions_count_in_crop_widths_over_the_frames_that_are_there(model, case):
    batch, parameters, faces = case
    faces.positions = faces.positions + np.float32([3.0, 4.0])[:, None]
    faces.positions[:, :, 2] = np.nan  # a frame that is masked
    value, measures = DensePositionLoss(model)(batch, parameters, faces)
    assert float(value) == pytest.approx(5 * (5.0 / 64) ** 2 / PEOPLE, rel=1e-5)
    np.testing.assert_allclose(measures["position_px"].numpy()[MASK], 5.0, rtol=1e-5)


def test_a_shape_may_lie_anywhere_and_be_of_any_size_but_not_another(model, case):
    batch, parameters, faces = case
    loss = NeutralShapeLoss(model)
    faces.identity.neutral_vertices = 1.3 * faces.identity.neutral_vertices + 50.0
    assert float(loss(batch, parameters, faces).value) == pytest.approx(0, abs=1e-6)
    face = np.flatnonzero(TEMPLATE.regions["face"])
    truth = faces.identity.neutral_vertices[face]
    truth = (truth - truth.mean(axis=0)) / 1.3
    moved = 1.3 * truth
    moved[: len(face) // 2] += 10.0
    moved -= moved.mean(axis=0)
    half = np.zeros((TEMPLATE.num_vertices, 1, 1), np.float32)
    half[face[: len(face) // 2]] = 10.0
    faces.identity.neutral_vertices = faces.identity.neutral_vertices + half
    # What of the truth is at right angles to the answer, in units of 100 mm.
    expected = []
    for n in range(PEOPLE):
        ours, theirs = moved[..., n].ravel(), truth[..., n].ravel()
        left = theirs - (ours @ theirs) / (ours @ ours) * ours
        expected.append(np.square(left / 100.0).sum() / len(face))
    value = float(loss(batch, parameters, faces).value)
    assert value == pytest.approx(np.mean(expected), rel=1e-3) and value > 1e-3


def test_expression_albedo_and_rotation_by_hand(model, case):
    batch, parameters, faces = case
    faces.displacements = faces.displacements + np.float32([0, 0, 2.0])[:, None]
    value = TrueExpressionLoss(model)(batch, parameters, faces).value
    assert float(value) == pytest.approx(5 * 0.02**2 / PEOPLE, rel=1e-4)
    faces.identity.albedo = faces.identity.albedo + 0.1
    value = TrueAlbedoLoss(model)(batch, parameters, faces).value
    assert float(value) == pytest.approx(3 * 0.1**2, rel=1e-4)
    still = FaceParameters(identity={}, frame={"rotation": tf.zeros((PEOPLE, FRAMES, 3))})
    batch.truth = GroundTruth(
        **{
            **{f: getattr(batch.truth, f) for f in GroundTruth.__annotations__},
            "rotation": tf.constant(np.tile(np.float32([0, 0.1, 0]), (PEOPLE, FRAMES, 1))),
        }
    )
    value = RotationLoss(model)(batch, still, faces).value
    assert float(value) == pytest.approx(5 * 2 * (1 - np.cos(0.1)) / PEOPLE, rel=1e-4)


def test_another_template_is_refused(model):
    config = dataclasses.replace(model.config, template="flame.pkl")
    with pytest.raises(ValueError, match="need --template=makehuman"):
        RotationLoss(types.SimpleNamespace(config=config))
