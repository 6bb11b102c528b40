"""MoFA's and the multi-level model's terms: by hand, and what they are blind to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.geometry.topology import edges
from fml_tf.losses.landmark import INNER
from fml_tf.losses.objective import build_objective
from fml_tf.losses.photometric import photometric_loss
from fml_tf.models.building import build_model
from fml_tf.structures import FaceParameters, Identity, MultiFrameBatch
from fml_tf.template.bare_skin import bare_skin

SIZE = 80


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    config = ModelConfig(
        system="multilevel",
        network_width=0.05,
        crop_size=SIZE,
        prior_size=4,
        corrective_size=3,
        initial_basis_stddev=0.02,
    )
    return build_model(config)


@pytest.fixture(scope="module")
def batch(model):
    rng = np.random.default_rng(1)
    landmarks = rng.uniform(20, 60, (2, 1, 66, 2)).astype(np.float32)
    return MultiFrameBatch(
        frames=tf.constant(rng.random((2, 1, SIZE, SIZE, 3)), tf.float32),
        frame_mask=tf.ones((2, 1), tf.bool),
        landmarks=tf.constant(landmarks),
        landmark_confidence=tf.ones((2, 1, 66)),
    )


@pytest.fixture(scope="module")
def parameters(model, batch):
    start = model.encode(batch.frames, batch.frame_mask)
    rng = np.random.default_rng(2)
    identity = {
        name: tf.constant(rng.normal(size=values.shape), tf.float32)
        for name, values in start.identity.items()
    }
    return FaceParameters(identity=identity, frame=start.frame)


def _changed(faces, **changes):
    fields = ["identity", "displacements", "vertices", "normals", "positions", "colours", "visible"]
    return type(faces)(**{name: getattr(faces, name) for name in fields} | changes)


def _with_albedo(faces, albedo):
    albedo = tf.constant(albedo, tf.float32)
    return _changed(faces, identity=Identity(faces.identity.neutral_vertices, albedo))


def _without_correctives(model, parameters):
    return FaceParameters(
        identity=model.face_model.base_level(parameters.identity), frame=parameters.frame
    )


def _value(model, name, batch, parameters, faces=None):
    faces = model.decode(parameters) if faces is None else faces
    return build_objective(model, {name: 1.0}).evaluate(batch, parameters, faces).total


def test_robust_loss_by_hand():
    colours = np.zeros((3, 3, 1), np.float32)
    observed = np.zeros((3, 3, 1), np.float32)
    observed[0, :, 0] = 0.3, 0.0, 0.4  # 0.5
    observed[1, :, 0] = 0.0, 0.2, 0.0
    observed[2] = 9.0  # not seen
    weights = np.array([[1.0], [1.0], [0.0]], np.float32)
    loss = photometric_loss(tf.constant(colours), observed, weights, 1, robust=True)
    np.testing.assert_allclose(loss, 0.7, atol=3e-4)


def test_a_residual_three_times_as_large_pulls_no_harder():
    def pull(size, robust):
        colours = tf.fill((1, 3, 1), size)
        with tf.GradientTape() as tape:
            tape.watch(colours)
            loss = photometric_loss(colours, tf.zeros((1, 3, 1)), tf.ones((1, 1)), 1, robust)
        return np.linalg.norm(tape.gradient(loss, colours))

    assert pull(0.3, True) == pytest.approx(pull(0.1, True), rel=1e-4)
    assert pull(0.3, False) == pytest.approx(3 * pull(0.1, False), rel=1e-4)
    assert np.isfinite(pull(0.0, True))


def test_all_vertices_or_those_that_show_divide_the_robust_term(model, batch, parameters):
    faces = model.decode(parameters)
    half = np.zeros((faces.visible.shape[0], 1), bool)
    half[::2] = True
    uniform = tf.fill(tf.shape(faces.colours), 0.5)
    frames = MultiFrameBatch(
        frames=tf.zeros_like(batch.frames),
        frame_mask=batch.frame_mask,
        landmarks=batch.landmarks,
        landmark_confidence=batch.landmark_confidence,
    )

    def with_visible(visible):
        return _changed(faces, colours=uniform, visible=visible)

    whole = with_visible(tf.ones_like(faces.visible))
    hidden = with_visible(tf.ones_like(faces.visible) & half)
    distance = 0.5 * np.sqrt(3)
    face = model.template.regions["face"]
    share = half[face].mean()
    for name, expected in (
        ("robust_photometric", (distance, share * distance)),
        ("robust_visible_photometric", (distance, distance)),
    ):
        values = [_value(model, name, frames, parameters, seen) for seen in (whole, hidden)]
        np.testing.assert_allclose(values, expected, rtol=1e-3)


def test_without_correctives_both_levels_are_the_same(model, batch, parameters):
    base = _without_correctives(model, parameters)
    terms = {"robust_visible_photometric": 1.0, "base_photometric": 1.0}
    both = build_objective(model, terms).evaluate(batch, base, model.decode(base)).terms
    assert both["base_photometric"] == both["robust_visible_photometric"] > 0
    fine = build_objective(model, terms).evaluate(batch, parameters, model.decode(parameters)).terms
    assert fine["base_photometric"] == both["base_photometric"]
    assert fine["robust_visible_photometric"] != both["robust_visible_photometric"]


def test_gradients_reach_bases_by_random_codes_and_codes_by_random_bases(model, batch, parameters):
    identity = {name: tf.Variable(values) for name, values in parameters.identity.items()}
    bases = model.face_model.weight_groups()
    with tf.GradientTape() as tape:
        used = FaceParameters(
            identity={name: values.value() for name, values in identity.items()},
            frame=parameters.frame,
        )
        loss = _value(model, "robust_visible_photometric", batch, used, model.decode(used))
    for gradient in tf.nest.flatten(tape.gradient(loss, [identity, bases])):
        assert np.any(gradient)


def test_landmarks_of_the_base_level_do_not_touch_correctives(model, batch, parameters):
    identity = {name: tf.Variable(values) for name, values in parameters.identity.items()}
    basis = model.face_model.shape_basis.value
    with tf.GradientTape() as tape:
        used = FaceParameters(
            identity={name: values.value() for name, values in identity.items()},
            frame=parameters.frame,
        )
        loss = _value(model, "base_landmark", batch, used, model.decode(used))
    of_basis, of_code, of_shape = tape.gradient(
        loss, [basis, identity["shape_correctives"], identity["shape"]]
    )
    assert of_basis is None
    assert of_code is None
    assert np.any(of_shape)


def test_smoothness_and_size_of_correctives_by_hand(model, batch, parameters):
    faces = model.decode(parameters)
    triangles = model.template.triangles
    count = model.template.num_vertices

    def with_correctives(values):
        extras = {"shape_correctives": tf.constant(values, tf.float32)}
        identity = Identity(faces.identity.neutral_vertices, faces.identity.albedo, extras)
        return _changed(faces, identity=identity)

    constant = np.tile(np.array([1.0, 2.0, 2.0])[None, :, None], (count, 1, 2))
    seen = with_correctives(constant)
    assert _value(model, "corrective_smoothness", batch, parameters, seen) == 0
    np.testing.assert_allclose(_value(model, "corrective_size", batch, parameters, seen), 9.0)

    one, vertex, distance = np.zeros((count, 3, 2)), 100, 3.0
    one[vertex, 1] = distance
    pairs = edges(triangles)
    neighbours = np.concatenate([pairs[pairs[:, 0] == vertex, 1], pairs[pairs[:, 1] == vertex, 0]])
    valence = np.bincount(pairs.ravel())
    expected = distance**2 / count * (1 + (1 / valence[neighbours]).sum())
    value = _value(model, "corrective_smoothness", batch, parameters, with_correctives(one))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_constancy_is_over_bare_skin_alone(model, batch, parameters):
    faces = model.decode(parameters)
    region = bare_skin(model.template)
    count = model.template.num_vertices
    albedo = np.full((count, 3, 2), 0.4)
    albedo[~region] = np.random.default_rng(0).random(((~region).sum(), 3, 2))
    assert (
        _value(model, "reflectance_constancy", batch, parameters, _with_albedo(faces, albedo)) == 0
    )
    # Of independent values a pair differs by twice the variance; six pairs, three channels.
    albedo[region] = np.random.default_rng(1).normal(size=(region.sum(), 3, 2), scale=0.1)
    value = _value(model, "reflectance_constancy", batch, parameters, _with_albedo(faces, albedo))
    np.testing.assert_allclose(value, 12 * 3 * 0.01, rtol=0.05)


def test_sparsity_gives_way_where_the_pictures_hue_changes(model, batch, parameters):
    faces = model.decode(parameters)
    albedo = np.full((model.template.num_vertices, 3, 2), 0.4)
    albedo[::2] = 0.5
    seen = _with_albedo(faces, albedo)

    def value(picture):
        frames = tf.constant(np.broadcast_to(picture, (2, 1, SIZE, SIZE, 3)), tf.float32)
        changed = MultiFrameBatch(
            frames=frames,
            frame_mask=batch.frame_mask,
            landmarks=batch.landmarks,
            landmark_confidence=batch.landmark_confidence,
        )
        return float(_value(model, "reflectance_sparsity", changed, parameters, seen))

    grey = np.full((SIZE, SIZE, 3), 0.5)
    edge = grey.copy()
    edge[:, 40:] *= 0.5  # of intensity
    dot = grey.copy()
    dot[30:50, 30:50] = (0.8, 0.2, 0.2)  # of hue
    assert value(edge) == pytest.approx(value(grey), rel=1e-4)
    assert value(dot) < 0.999 * value(grey)


def test_sparsity_pulls_at_the_albedo_alone(model, batch, parameters):
    frame = {name: tf.Variable(values) for name, values in parameters.frame.items()}
    with tf.GradientTape() as tape:
        used = FaceParameters(
            identity=parameters.identity, frame={n: v.value() for n, v in frame.items()}
        )
        loss = _value(model, "reflectance_sparsity", batch, used, model.decode(used))
    assert all(gradient is None for gradient in tape.gradient(loss, list(frame.values())))


def test_inner_landmarks_are_46_and_blind_to_the_others(model, batch, parameters):
    assert len(INNER) == 46
    landmarks = batch.landmarks.numpy()

    def value(landmarks, confidence=None):
        changed = MultiFrameBatch(
            frames=batch.frames,
            frame_mask=batch.frame_mask,
            landmarks=tf.constant(landmarks),
            landmark_confidence=batch.landmark_confidence if confidence is None else confidence,
        )
        return float(_value(model, "inner_landmark", changed, parameters))

    outside = np.setdiff1d(np.arange(66), INNER)
    moved = landmarks.copy()
    moved[:, :, outside] += 5
    assert value(moved) == value(landmarks)
    moved[:, :, 36] += 5
    assert value(moved) != value(landmarks)
    confidence = np.ones((2, 1, 66), np.float32)
    confidence[:, :, 36] = 0
    assert value(moved, confidence) == value(landmarks, confidence)


def test_priors_are_sums_of_squares(model, batch, parameters):
    for name in ("shape", "albedo"):
        expected = np.square(parameters.identity[name]).sum(axis=1).mean()
        value = _value(model, f"{name}_prior", batch, parameters)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_terms_that_a_system_has_no_use_for_are_refused():
    fml = build_model(ModelConfig(network_width=0.05, crop_size=SIZE))
    for name, message in (
        ("shape_prior", "has no statistical model"),
        ("corrective_size", "has no correctives"),
        ("base_photometric", "has no base level"),
    ):
        with pytest.raises(ValueError, match=message):
            build_objective(fml, {name: 1.0})


@pytest.mark.large
def test_correctives_explain_a_beard_that_the_statistical_model_cannot():
    """Everything but albedo held: pictures of the mean face with a dark chin."""
    keras.utils.set_random_seed(4)
    config = ModelConfig(
        system="multilevel", network_width=0.05, crop_size=120, prior_size=20, corrective_size=1
    )
    model = build_model(config)
    template = model.template
    start = model.encode(tf.zeros((1, 1, 120, 120, 3)), tf.ones((1, 1), tf.bool))
    faces = model.decode(start)
    landmarks = template.mean_shape[template.landmark_vertices]
    chin = template.regions["skin"] & (template.mean_shape[:, 1] < landmarks[57, 1])
    bearded = faces.colours.numpy()
    bearded[chin] *= 0.4
    attributes = tf.constant(bearded)
    picture, _ = model.backend.render(
        faces.vertices, attributes, template.triangles, model.camera, cull_backfaces=True
    )
    batch = MultiFrameBatch(
        frames=picture[None],
        frame_mask=tf.ones((1, 1), tf.bool),
        landmarks=tf.zeros((1, 1, 66, 2)),
        landmark_confidence=tf.zeros((1, 1, 66)),
    )
    weights = {"robust_visible_photometric": 1.0, "base_photometric": 1.0, "albedo_prior": 1e-4}
    objective = build_objective(model, weights)
    coefficients = tf.Variable(start.identity["albedo"])
    basis = model.face_model.albedo_basis.value
    basis.assign(tf.zeros_like(basis))
    optimizers = [(coefficients, keras.optimizers.Adam(0.1)), (basis, keras.optimizers.Adam(0.02))]
    for variable, optimizer in optimizers:
        optimizer.build([variable])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            identity = {**start.identity, "albedo": coefficients.value()}
            identity["albedo_correctives"] = tf.ones((1, 1))
            parameters = type(start)(identity=identity, frame=start.frame)
            evaluation = objective.evaluate(batch, parameters, model.decode(parameters))
        gradients = tape.gradient(evaluation.total, [v for v, _ in optimizers])
        for gradient, (variable, optimizer) in zip(gradients, optimizers):
            optimizer.apply([gradient], [variable])
        return evaluation.terms

    for _ in range(60):
        terms = step()
    assert terms["robust_visible_photometric"] <= 0.7 * terms["base_photometric"]
    assert np.any(basis.numpy()) and terms["base_photometric"] > 0.01
