"""Refined answers: derivatives, what comes back of known people, robustness, what is held."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.losses.landmark import gather_landmarks, slide_contour
from fml_tf.models.building import build_model
from fml_tf.models.prior import AnswerPrior
from fml_tf.refinement.energy import FrameState, cauchy, motion_jacobian, position_jacobian
from fml_tf.refinement.linear_face import LinearFace
from fml_tf.refinement.refiner import METHODS, RefinementSettings, Refiner
from fml_tf.rendering.camera import project
from fml_tf.rendering.pictures import render_face
from fml_tf.rendering.pose import rotation_matrix
from fml_tf.structures import FaceParameters
from fml_tf.template.dense_landmarks import load_dense_landmarks

SIZE, NUM_FRAMES = 96, 2
CONFIG = ModelConfig(
    network_width=0.02, crop_size=SIZE, shape_size=6, albedo_size=5, num_graph_nodes=100
)


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    model = build_model(CONFIG)
    rng = np.random.default_rng(0)
    face_model = model.face_model
    # Smooth in space, as bases of people are: a few directions for all nodes of a place.
    places = model.template.mean_shape[face_model.graph.node_vertices] / 60.0
    waves = np.cos(places @ rng.normal(size=(3, 18)) + rng.uniform(0, 6, 18))
    basis = (
        0.03
        * np.einsum("gw,cw,wk->gck", waves, rng.normal(size=(3, 18)), rng.normal(size=(18, 6)))
        / 4
    )
    face_model.shape_basis.assign(basis.reshape(-1, 6))
    points = model.template.mean_shape / 40.0
    waves = np.cos(points @ rng.normal(size=(3, 5)) + rng.uniform(0, 6, 5))
    albedo = 0.05 * waves[:, None] * rng.normal(size=(3, 5))
    face_model.albedo_basis.assign(albedo.reshape(-1, 5))
    return model


@pytest.fixture(scope="module")
def prior(model):
    size = model.identity_layout.size
    expressions = len(model.expression_basis.sigma)
    return AnswerPrior(
        identity_single=np.eye(size),
        identity_pooled=np.eye(size),
        expression=0.3 * np.eye(expressions),
        landmark_px=np.full(66, 0.3),
        num_people=np.array(1),
    )


def parameters_of(model, identity, frames):
    as_tensor = lambda values: tf.constant(values[None], tf.float32)  # noqa: E731
    return FaceParameters(
        identity=model.identity_layout.split(as_tensor(identity)),
        frame=model.frame_layout.split(as_tensor(frames)),
    )


@pytest.fixture(scope="module")
def person(model):
    """Known parameters with their pictures and landmarks."""
    rng = np.random.default_rng(1)
    expressions = len(model.expression_basis.sigma)
    frames = np.zeros((NUM_FRAMES, model.frame_layout.size))
    frames[:, :3] = [[0.05, 0.2, 0.0], [-0.1, -0.3, 0.05]]
    frames[:, 6 : 6 + expressions] = 0.3 * rng.normal(size=(NUM_FRAMES, expressions))
    parameters = parameters_of(model, rng.normal(size=model.identity_layout.size), frames)
    faces = model.decode(parameters)
    background = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    pictures = []
    for m in range(NUM_FRAMES):
        vertices, colours = faces.vertices[..., m].numpy(), faces.colours[..., m].numpy()
        picture, coverage = render_face(vertices, colours, model.template, model.camera)
        pictures.append(background + coverage[..., None] * (picture - background))
    return parameters, np.stack(pictures), landmarks_of(model, faces)


def landmarks_of(model, faces, near=None):
    """Where the landmarks of faces are; of the contour, the candidates in the middle."""
    template = model.template
    if near is None:
        indices = np.tile(template.landmark_vertices, (NUM_FRAMES, 1))
    else:
        marks = (template.landmark_vertices, template.contour_candidates, near, model.camera)
        indices = slide_contour(faces.vertices, *marks)
    return gather_landmarks(faces.positions, tf.constant(indices)).numpy()


def answer_of(model):
    """A network that has seen nothing: the mean face in its place."""
    frames = np.zeros((NUM_FRAMES, model.frame_layout.size))
    return parameters_of(model, np.zeros(model.identity_layout.size), frames)


def landmark_error(model, parameters, landmarks):
    found = landmarks_of(model, model.decode(parameters), tf.constant(landmarks, tf.float32))
    return float(np.linalg.norm(found - landmarks, axis=-1).mean())


def test_derivatives_of_positions_are_those_of_finite_differences(model):
    rng = np.random.default_rng(0)
    linear = LinearFace.of(model, np.arange(0, 4000, 97))
    size, expressions = linear.shape.shape[2], linear.expression.shape[2]
    neutral = model.template.mean_shape[linear.vertices].astype(np.float64)
    start = np.array([0.1, -0.4, 0.2])
    place = model.initial_translation.astype(np.float64)

    def positions(step):
        identity, turn, shift, expression = np.split(step, [size, size + 3, size + 6])
        points = neutral + linear.shape @ identity + linear.expression @ expression
        turns = rotation_matrix(tf.constant([turn, start])).numpy()
        points = points @ (turns[0] @ turns[1]).T + place + 100.0 * shift
        return project(tf.constant(points[..., None]), model.camera).numpy()[..., 0], points

    zero = np.zeros(size + 6 + expressions)
    _, points = positions(zero)
    state = FrameState(rotation_matrix(tf.constant([start])).numpy()[0], points, place)
    motion = motion_jacobian(state, linear, 100.0)
    jacobian = position_jacobian(state, motion, model.camera)
    for k in rng.choice(len(zero), 12, replace=False):
        step = zero.copy()
        step[k] = 1e-5
        numeric = (positions(step)[0] - positions(-step)[0]) / 2e-5
        np.testing.assert_allclose(jacobian[..., k], numeric, rtol=1e-5, atol=1e-5)
        numeric = (positions(step)[1] - positions(-step)[1]) / 2e-5
        np.testing.assert_allclose(motion[..., k], numeric, rtol=1e-5, atol=1e-5)


def test_the_robust_weight_is_the_slope_of_the_robust_energy():
    squared = np.linspace(0.1, 50, 20)
    energy, weight = cauchy(squared, 3.0)
    slope = (cauchy(squared + 1e-6, 3.0)[0] - energy) / 1e-6
    np.testing.assert_allclose(slope, 0.5 * weight, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_known_person_comes_back(model, prior, person, method):
    truth, pictures, landmarks = person
    confidence = np.ones(landmarks.shape[:2])
    refiner = Refiner(model, prior, RefinementSettings(method=method))
    refinement = refiner.refine(pictures, landmarks, confidence, answer_of(model))
    assert all(later < earlier for earlier, later in zip(refinement.energy, refinement.energy[1:]))
    assert landmark_error(model, refinement.parameters, landmarks) < 0.25
    face = model.template.regions["face"]

    def shape_error(parameters):
        shapes = [
            model.face_model.identity(p.identity).neutral_vertices[..., 0].numpy()[face]
            for p in (parameters, truth)
        ]
        shapes = [shape - shape.mean(axis=0) for shape in shapes]
        return np.linalg.norm(shapes[0] - shapes[1], axis=1).mean()

    assert shape_error(refinement.parameters) < 0.5 * shape_error(answer_of(model))
    if method == "photometric":

        def albedo_error(parameters):
            albedos = [
                model.face_model.identity(p.identity).albedo[..., 0].numpy()[face]
                for p in (parameters, truth)
            ]
            return np.abs(albedos[0] - albedos[1]).mean()

        assert albedo_error(refinement.parameters) < 0.6 * albedo_error(answer_of(model))


def test_dense_points_alone_place_a_face(model, prior, person):
    truth, pictures, landmarks = person
    dense = dense_of(model, model.decode(truth))
    dense[:, ~load_dense_landmarks().anchored] = 0.0, 0.0, 0.0, 1.0  # nobody looks at these
    refiner = Refiner(model, prior, RefinementSettings(method="landmarks"))
    nowhere = np.zeros(landmarks.shape[:2])
    refined = refiner.refine(pictures, landmarks, nowhere, answer_of(model), dense).parameters
    assert landmark_error(model, answer_of(model), landmarks) > 3.0
    assert landmark_error(model, refined, landmarks) < 0.6


def with_errors(refiner, modes=1.0, deviation=(1.0, 1.0)):
    """The refiner, told that a detector errs by so many times what it does."""
    refiner._dense = dataclasses.replace(
        refiner._dense, deviation=refiner._dense.deviation * np.float32(deviation)
    )
    refiner._error_modes = refiner._error_modes * modes
    return refiner


def dense_of(model, faces):
    """Dense points [M, 468, 4] where they are."""
    dense = np.ones((NUM_FRAMES, 468, 4), np.float32)
    dense[..., :2] = load_dense_landmarks().of(np.moveaxis(faces.positions.numpy(), -1, 0))
    dense[..., 2] = dense_depths(model, faces)
    return dense


def test_depths_tell_what_positions_do_not(model, prior, person):
    truth, pictures, landmarks = person
    dense = dense_of(model, model.decode(truth))
    nowhere = np.zeros(landmarks.shape[:2])

    def depth_error(deviation):
        """Of the points behind their mean, px."""
        refiner = Refiner(model, prior, RefinementSettings(method="landmarks"))
        refiner = with_errors(refiner, 0.0, (1.0, deviation))
        refined = refiner.refine(pictures, landmarks, nowhere, answer_of(model), dense)
        assert np.diff(refined.energy).max() < 0
        found = dense_depths(model, model.decode(refined.parameters))
        return np.abs(found - dense[..., 2])[:, load_dense_landmarks().anchored].mean()

    assert depth_error(0.5) < 0.5 * depth_error(1e6)


def test_what_points_err_together_is_not_believed(model, prior, person):
    truth, pictures, landmarks = person
    dense, places = dense_of(model, model.decode(truth)), load_dense_landmarks()
    depth = -places.of(np.moveaxis(model.decode(truth).vertices.numpy(), -1, 0))[..., 2]
    px_a_mm = model.camera.focal_length_px / depth[:, places.anchored, None]
    together = np.array([2, -2, 2, -2] + [0] * (len(places.modes) - 4))
    dense[:, places.anchored, :3] += px_a_mm * np.tensordot(together, places.modes, 1)
    nowhere = np.zeros(landmarks.shape[:2])
    errors = []
    for modes in (1.0, 0.0):
        refiner = Refiner(model, prior, RefinementSettings(method="landmarks"))
        refiner = with_errors(refiner, modes)
        refined = refiner.refine(pictures, landmarks, nowhere, answer_of(model), dense)
        errors.append(landmark_error(model, refined.parameters, landmarks))
    assert errors[0] < 0.6 * errors[1]


def dense_depths(model, faces):
    """[M, 468] px of the dense points behind their mean."""
    depths = -load_dense_landmarks().of(np.moveaxis(faces.vertices.numpy(), -1, 0))[..., 2]
    mean = depths[:, load_dense_landmarks().anchored].mean(axis=1, keepdims=True)
    return (depths - mean) * model.camera.focal_length_px / mean


def test_wrong_landmarks_are_not_followed(model, prior, person):
    _, pictures, landmarks = person
    refiner = Refiner(model, prior, RefinementSettings(method="landmarks"))
    confidence = np.ones(landmarks.shape[:2])
    wrong = landmarks.copy()
    wrong[0, [30, 40, 50]] += 25.0
    parameters = refiner.refine(pictures, wrong, confidence, answer_of(model)).parameters
    assert landmark_error(model, parameters, landmarks) < 0.6
    confidence[0, [30, 40, 50]] = 0.0  # said to be wrong: as if they were not there
    told = refiner.refine(pictures, wrong, confidence, answer_of(model)).parameters
    assert landmark_error(model, told, landmarks) < 0.3


def test_a_held_identity_stays_and_its_frames_are_refined(model, prior, person):
    truth, pictures, landmarks = person
    answer = FaceParameters(identity=truth.identity, frame=answer_of(model).frame)
    refiner = Refiner(model, prior, RefinementSettings(method="landmarks"))
    confidence = np.ones(landmarks.shape[:2])
    refined = refiner.follow(pictures, landmarks, confidence, answer)
    for name, values in answer.identity.items():
        np.testing.assert_array_equal(refined.identity[name], values)
    assert landmark_error(model, refined, landmarks) < 0.2

    # Frame after frame is the same as all at once, if the last frame is told.
    def frame(m, before):
        one = slice(m, m + 1)
        part = answer.map_frames(lambda values: values[:, one])
        marks = pictures[one], landmarks[one], confidence[one]
        return refiner.follow(*marks, part, before=before)

    first = frame(0, None)
    second = frame(1, first)
    for name, values in refined.frame.items():
        np.testing.assert_array_equal(first.frame[name][0, 0], values[0, 0])
        np.testing.assert_array_equal(second.frame[name][0, 0], values[0, 1])


def test_a_frame_starts_where_the_one_before_it_ended_if_that_is_better(model, prior, person):
    truth, pictures, landmarks = person
    answer = FaceParameters(identity=truth.identity, frame=answer_of(model).frame)
    settings = RefinementSettings(method="landmarks", most_steps=1)
    refiner = Refiner(model, prior, settings)
    one = slice(0, 1)
    marks = pictures[one], landmarks[one], np.ones((1, 66))
    part = answer.map_frames(lambda values: values[:, one])
    near = truth.map_frames(lambda values: values[:, one])
    far = truth.map_frames(lambda values: values[:, one] + 1.0)
    cold = refiner.follow(*marks, part)
    for before, better in ((near, True), (far, False)):
        warm = refiner.follow(*marks, part, before=before)
        turn = [p.frame["rotation"].numpy() - near.frame["rotation"].numpy() for p in (warm, cold)]
        assert (np.abs(turn[0]).max() < 0.2 * np.abs(turn[1]).max()) == better


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_read_from_landmarks_without_confidence(model, prior, person, method):
    _, pictures, landmarks = person
    refiner = Refiner(model, prior, RefinementSettings(method=method))
    confidence = np.ones(landmarks.shape[:2])
    confidence[1] = 0.0
    answer = answer_of(model)
    refined = []
    for value in (np.nan, 0.0, 1e6):
        landmarks = landmarks.copy()
        landmarks[1] = value
        refined.append(refiner.refine(pictures, landmarks, confidence, answer).energy)
    assert refined[0] == refined[1] == refined[2]


def test_what_is_not_finite_is_refused(model, prior, person):
    _, pictures, landmarks = person
    refiner = Refiner(model, prior)
    confidence = np.ones(landmarks.shape[:2])
    broken = landmarks.copy()
    broken[0, 3] = np.nan
    with pytest.raises(ValueError, match="landmarks that are not finite"):
        refiner.refine(pictures, broken, confidence, answer_of(model))
    with pytest.raises(ValueError, match="frames that are not finite"):
        refiner.refine(pictures * np.nan, landmarks, confidence, answer_of(model))


def test_one_frame_is_believed_less_than_several(model, prior, person):
    _, pictures, landmarks = person
    surer = dataclasses.replace(prior, identity_pooled=1e-6 * prior.identity_pooled)
    refiner = Refiner(model, surer, RefinementSettings(method="landmarks"))
    confidence = np.ones(landmarks.shape[:2])
    moved = []
    for count in (1, 2):
        answer = answer_of(model).map_frames(lambda values, count=count: values[:, :count])
        marks = landmarks[:count], confidence[:count]
        identity = refiner.refine(pictures[:count], *marks, answer).parameters.identity
        moved.append(np.abs(identity["shape"]).max())
    assert moved[1] < 0.01 * moved[0]


def test_priors_travel_as_arrays(prior):
    again = AnswerPrior.from_arrays(prior.to_arrays() | {"other": np.zeros(1)})
    for name, value in vars(prior).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert AnswerPrior.from_arrays({"other": np.zeros(1)}) is None
