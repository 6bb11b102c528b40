"""The landmark fit: its derivatives, where it ends, what it listens to, and its loss."""

import types

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.losses.expression import ExpressionLoss
from fml_tf.losses.landmark import LandmarkLoss
from fml_tf.losses.landmark_fit import Fit, LandmarkFit, LandmarkFitLoss
from fml_tf.losses.smoothness import SmoothnessLoss
from fml_tf.models.building import build_model
from fml_tf.rendering.pose import rotation_matrix, rotation_vector
from fml_tf.structures import FaceParameters, MultiFrameBatch
from fml_tf.training.initial_bases import set_initial_bases

PEOPLE, FRAMES, SIZE = 2, 3, 6


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        network_width=0.02, shape_size=SIZE, albedo_size=4, num_graph_nodes=150, crop_size=64
    )
    model = build_model(config)
    set_initial_bases(model.face_model, "smooth", builder=None)
    return model


@pytest.fixture(scope="module")
def fitter(model):
    return LandmarkFit(model, np.arange(0, model.template.num_vertices, 50))


def parameters_of(model, rng, size=1.0):
    """Parameters of people and frames, up to a size about the mean face that looks at us."""

    def draw(deviation, *shape):
        return (size * deviation * rng.normal(size=shape)).astype(np.float32)

    sigma = model.expression_basis.sigma
    translation = model.initial_translation + draw(5.0, PEOPLE, FRAMES, 3)
    expression = np.float32(sigma) * draw(0.3, PEOPLE, FRAMES, len(sigma))
    return FaceParameters(
        identity={
            "shape": tf.constant(draw(1.0, PEOPLE, SIZE)),
            "albedo": tf.zeros((PEOPLE, 4)),
        },
        frame={
            "rotation": tf.constant(draw(0.2, PEOPLE, FRAMES, 3)),
            "translation": tf.constant(translation, tf.float32),
            "expression": tf.constant(expression, tf.float32),
            "illumination": tf.zeros((PEOPLE, FRAMES, 9, 3)),
        },
    )


def batch_of(landmarks, confidence=None, mask=None):
    shape = landmarks.shape[:2]
    return MultiFrameBatch(
        frames=tf.zeros((*shape, 1, 1, 3)),
        frame_mask=tf.constant(np.ones(shape, bool) if mask is None else mask),
        landmarks=tf.constant(landmarks, tf.float32),
        landmark_confidence=tf.ones(landmarks.shape[:3]) if confidence is None else confidence,
    )


@pytest.fixture
def known(model):
    """Parameters and a batch whose landmarks are theirs, the contour's at its first candidates."""
    parameters = parameters_of(model, np.random.default_rng(0))
    positions = model.decode(parameters).positions.numpy()
    vertices = model.template.landmark_vertices.copy()
    landmarks = np.moveaxis(positions[vertices], -1, 0).reshape(PEOPLE, FRAMES, -1, 2)
    return parameters, batch_of(landmarks)


def run(fitter, batch, fit, steps):
    linear_shape = fitter.linear_shape()
    for _ in range(steps):
        fit = fitter.step(batch, linear_shape, fit)
    return fit


def errors_px(fitter, model, batch, fit):
    """Of the landmarks that do not slide."""
    rows = fitter.rows(batch, fitter.linear_shape()[0], fit).numpy()[..., -1]
    return model.camera.width * np.abs(rows.reshape(len(rows), 2, -1)[..., 17:])


def test_derivatives_are_those_of_finite_differences(model, fitter, known):
    parameters, batch = known
    shapes, _ = fitter.linear_shape()
    fit = fitter.start(parameters)
    rows = fitter.rows(batch, shapes, fit).numpy()
    frames, step = len(fit.rotation), 1e-2
    expressions = fit.expression.shape[1]
    moves = np.eye(6 + expressions + SIZE, dtype=np.float32) * step
    inner = np.arange(rows.shape[1]).reshape(2, -1)[:, 17:].ravel()  # the contour slides
    for k in (0, 1, 2, 3, 4, 5, 6, 20, 6 + expressions, 5 + expressions + SIZE):
        ends = []
        for sign in (-1, 1):
            move = sign * np.repeat(moves[k][None], frames, axis=0)
            moved = Fit(
                fit.shape + move[::FRAMES, 6 + expressions :],
                rotation_matrix(tf.constant(move[:, :3])) @ fit.rotation,
                fit.translation + 100.0 * move[:, 3:6],
                fit.expression + move[:, 6 : 6 + expressions],
            )
            ends.append(fitter.rows(batch, shapes, moved).numpy()[:, inner, -1])
        slope = (ends[1] - ends[0]) / (2 * step)
        np.testing.assert_allclose(rows[:, inner, k], slope, atol=2e-3 * np.abs(slope).max() + 1e-5)


def test_a_fit_finds_the_landmarks_from_afar(model, fitter, known):
    _, batch = known
    start = fitter.start(parameters_of(model, np.random.default_rng(1), size=0.0))
    before = errors_px(fitter, model, batch, start).mean()
    after = [errors_px(fitter, model, batch, run(fitter, batch, start, n)).mean() for n in (1, 4)]
    assert after[0] < 0.4 * before and after[1] < 0.2 * after[0]


def test_it_ends_where_the_papers_terms_are_least(model, fitter, known):
    rng = np.random.default_rng(3)
    landmarks = known[1].landmarks.numpy()
    batch = batch_of(landmarks + rng.normal(size=landmarks.shape))
    sigma = tf.constant(model.expression_basis.sigma, tf.float32)
    losses = [LandmarkLoss(model), SmoothnessLoss(model), ExpressionLoss(model)]
    start = fitter.start(parameters_of(model, rng, size=0.0))
    end = run(fitter, batch, start, 12)
    moved = (end.shape, end.expression)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(moved)
        shape, expression = moved
        frames = (PEOPLE, FRAMES, -1)
        parameters = FaceParameters(
            identity={"shape": shape, "albedo": tf.zeros((PEOPLE, 4))},
            frame={
                "rotation": tf.reshape(rotation_vector(end.rotation), frames),
                "translation": tf.reshape(end.translation, frames),
                "expression": tf.reshape(expression * sigma, frames),
                "illumination": tf.zeros((PEOPLE, FRAMES, 9, 3)),
            },
        )
        faces = model.decode(parameters)
        values = [loss(batch, parameters, faces).value for loss in losses]
        total = values[0] + 2e-3 * values[1] + 1e-4 * values[2]
    for one, all_of_them in zip(tape.gradient(values[0], moved), tape.gradient(total, moved)):
        assert tf.norm(all_of_them) < 0.02 * tf.norm(one)


def test_people_do_not_touch_each_other_and_masked_frames_nobody(model, fitter, known):
    _, batch = known
    start = fitter.start(parameters_of(model, np.random.default_rng(1), size=0.5))
    both = run(fitter, batch, start, 2)
    mask = np.ones((PEOPLE, FRAMES), bool)
    mask[1, 2] = False
    landmarks = batch.landmarks.numpy()
    landmarks[1, 2] = np.nan
    hidden = run(fitter, batch_of(landmarks, mask=mask), start, 2)
    np.testing.assert_allclose(hidden.shape[0], both.shape[0], atol=1e-4)
    assert np.abs(hidden.shape[1] - both.shape[1]).max() > 1e-3
    assert all(np.isfinite(values).all() for values in hidden)
    # What is hidden does not matter.
    landmarks[1, 2] = 7.0
    other = run(fitter, batch_of(landmarks, mask=mask), start, 2)
    np.testing.assert_array_equal(other.shape, hidden.shape)


def test_a_landmark_without_confidence_does_not_count(model, fitter, known):
    parameters, batch = known
    start = fitter.start(parameters)
    confidence = np.ones(batch.landmark_confidence.shape, np.float32)
    confidence[:, :, 30] = 0.0
    results = []
    for value in (np.nan, 500.0):
        landmarks = batch.landmarks.numpy()
        landmarks[:, :, 30] = value
        results.append(run(fitter, batch_of(landmarks, confidence), start, 1))
    np.testing.assert_array_equal(results[0].shape, results[1].shape)
    assert np.isfinite(results[0].shape).all()


def test_order_of_frames_does_not_matter(model, fitter, known):
    _, batch = known
    start = parameters_of(model, np.random.default_rng(1), size=0.5)

    def turned(values):
        return values[:, ::-1]

    swapped = MultiFrameBatch(
        frames=batch.frames,
        frame_mask=batch.frame_mask,
        landmarks=turned(batch.landmarks),
        landmark_confidence=turned(batch.landmark_confidence),
    )
    other = FaceParameters(
        identity=start.identity, frame={name: turned(v) for name, v in start.frame.items()}
    )
    one = run(fitter, batch, fitter.start(start), 2)
    two = run(fitter, swapped, fitter.start(other), 2)
    np.testing.assert_allclose(one.shape, two.shape, atol=2e-3)


def test_loss_pulls_all_parameters_to_the_fit_and_leaves_the_basis_alone(model, known):
    _, batch = known
    loss = LandmarkFitLoss(model)
    parameters = parameters_of(model, np.random.default_rng(2), size=0.5)
    moved = {"shape": parameters.identity["shape"], **parameters.frame}
    values = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            tape.watch(moved)
            basis = model.face_model.shape_basis.value
            current = FaceParameters(
                identity={**parameters.identity, "shape": moved["shape"]},
                frame={name: moved[name] for name in parameters.frame},
            )
            value = loss(batch, current, None).value
        values.append(value.numpy())
        gradients, of_basis = tape.gradient(value, [moved, basis])
        assert of_basis is None
        rates = {"shape": 0.5, "rotation": 0.2, "translation": 1000.0, "expression": 0.0}
        rates["expression"] = 0.2 * np.square(model.expression_basis.sigma)
        for name, rate in rates.items():
            assert np.abs(gradients[name]).max() > 0
            moved[name] -= tf.cast(rate, tf.float32) * gradients[name]
        assert gradients["illumination"] is None
    assert values[-1] < 0.5 * values[0]


def test_a_face_that_is_not_finite_gives_a_loss_that_says_so(model, known):
    parameters, batch = known
    identity = {**parameters.identity, "shape": parameters.identity["shape"] * np.nan}
    broken = FaceParameters(identity=identity, frame=parameters.frame)
    assert np.isnan(LandmarkFitLoss(model)(batch, broken, None).value)


def test_a_face_model_without_a_graph_is_refused(model):
    with pytest.raises(ValueError, match="toy has none"):
        LandmarkFitLoss(types.SimpleNamespace(face_model=None, name="toy", template=model.template))
