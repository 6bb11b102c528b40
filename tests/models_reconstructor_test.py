"""The whole model: first prediction, invariances over frames, orthogonality, gradients, saving."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.geometry.crop import crop_box
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import hold_at_mean
from fml_tf.structures import FaceParameters
from fml_tf.template.deformation_graph import pockets

TINY = ModelConfig(network_width=0.05, crop_size=96, shape_size=6, albedo_size=5)


@pytest.fixture(scope="module")
def model():
    return build_model(TINY)


def _randomise(model, seed=0):
    """Gives the heads, which start at zero, something to say."""
    rng = np.random.default_rng(seed)
    for network in (model.encoder.identity_network, model.encoder.parameter_network):
        head = network.body[-1]
        head.kernel.assign(rng.normal(size=head.kernel.shape, scale=0.02))
    return model


@pytest.fixture(scope="module")
def random_model():
    return _randomise(build_model(TINY))


def _frames(num_people, num_frames, seed=0):
    return tf.random.stateless_uniform((num_people, num_frames, 96, 96, 3), (seed, 1))


def _identity(model, frames, mask=None):
    mask = tf.ones(frames.shape[:2], tf.bool) if mask is None else tf.constant(mask)
    parameters = model.encode(frames, mask)
    return np.concatenate(list(parameters.identity.values()), axis=1)


def test_first_prediction_is_the_mean_face_centred_under_ambient_light(model):
    faces = model(_frames(1, 2), tf.ones((1, 2), tf.bool))
    template = model.template
    np.testing.assert_allclose(
        faces.identity.neutral_vertices[..., 0], template.mean_shape, atol=1e-4
    )
    albedo = faces.identity.albedo[..., 0]
    assert np.ptp(albedo, axis=0).max() == 0.0
    np.testing.assert_allclose(faces.colours[..., 0], albedo, atol=1e-4)
    # Preprocessing would cut the very crop in which the face stands.
    landmarks = faces.positions.numpy()[template.landmark_vertices, :, 0]
    box = crop_box(landmarks * 10.0, size=96)  # in finer pixels: boxes are whole pixels
    np.testing.assert_allclose([box.left, box.top, box.source_width], [0, 0, 960], atol=12)


def test_order_of_frames_does_not_change_the_identity(random_model):
    frames = _frames(1, 4)
    shuffled = tf.gather(frames, [2, 0, 3, 1], axis=1)
    np.testing.assert_allclose(
        _identity(random_model, frames), _identity(random_model, shuffled), atol=1e-6
    )


def test_copies_of_one_frame_give_the_identity_of_that_frame(random_model):
    frame = _frames(1, 1)
    copies = tf.repeat(frame, 5, axis=1)
    np.testing.assert_allclose(
        _identity(random_model, frame), _identity(random_model, copies), atol=1e-6
    )


def test_masked_frames_do_not_touch_the_identity(random_model):
    frames = _frames(2, 3)
    mask = [[True, True, False], [True, True, True]]
    masked = _identity(random_model, frames, mask)
    np.testing.assert_allclose(masked[:1], _identity(random_model, frames[:1, :2]), atol=1e-6)
    assert np.abs(masked[:1] - _identity(random_model, frames[:1])).max() > 1e-4


def test_people_of_a_batch_do_not_touch_each_other(random_model):
    frames = _frames(3, 2)
    together = random_model(frames, tf.ones((3, 2), tf.bool))
    alone = random_model(frames[1:2], tf.ones((1, 2), tf.bool))
    np.testing.assert_allclose(together.identity.albedo[..., 1:2], alone.identity.albedo, atol=1e-5)
    np.testing.assert_allclose(together.vertices[..., 2:4], alone.vertices, atol=1e-2)
    np.testing.assert_allclose(together.colours[..., 2:4], alone.colours, atol=1e-4)


def test_normals_do_not_depend_on_the_distance(random_model):
    """Computed from camera-space positions, they would lose digits with each step back."""
    parameters = random_model.encode(_frames(1, 2), tf.ones((1, 2), tf.bool))
    frame = dict(parameters.frame)
    near = random_model.decode(parameters)
    frame["translation"] -= [0.0, 0.0, 1e5]
    far = random_model.decode(FaceParameters(identity=parameters.identity, frame=frame))
    np.testing.assert_array_equal(near.normals, far.normals)
    np.testing.assert_allclose(far.vertices[:, 2] - near.vertices[:, 2], -1e5, atol=0.02)


def test_stage_one_holds_the_identity_at_the_mean(random_model):
    parameters = random_model.encode(_frames(1, 2), tf.ones((1, 2), tf.bool), hold_at_mean)
    assert not any(np.any(values) for values in parameters.identity.values())
    assert np.any(parameters.expression)


def test_learned_shapes_are_orthogonal_to_the_expressions(model):
    """The OCL in its place, with the model's own expressions where they can be seen."""
    seen = np.flatnonzero(~pockets(model.template))
    basis = model.expression_basis.basis[:, seen]
    weights = model.face_model.graph.skinning_matrix().astype(np.float64)[seen]
    gram = (weights.T @ weights).toarray()
    targets = weights.T @ basis.transpose(1, 2, 0).reshape(len(basis[0]), -1)
    expressions = np.linalg.lstsq(gram, targets, rcond=1e-12)[0].reshape(-1, len(basis))
    shape = tf.eye(TINY.shape_size)
    displacements = model.face_model.node_displacements(shape).numpy()
    columns = displacements.reshape(-1, TINY.shape_size).astype(np.float64)
    residual = np.linalg.norm(expressions.T @ columns)
    theta = np.linalg.norm(model.face_model.shape_basis)
    assert residual <= 1e-6 * np.linalg.norm(expressions) * theta


def test_all_weights_get_a_finite_gradient(random_model):
    frames, mask = _frames(2, 2), tf.ones((2, 2), tf.bool)
    weights = [weight.value for weight in random_model.trainable_weights]
    with tf.GradientTape() as tape:
        faces = random_model(frames, mask)
        loss = tf.reduce_sum(faces.colours**2) + tf.reduce_sum(faces.positions**2) / 96**2
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        assert gradient is not None, weight.name
        assert np.all(np.isfinite(gradient)) and np.any(gradient), weight.name


def test_any_number_of_frames_in_one_graph(random_model):
    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 96, 96, 3), tf.float32),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def infer(frames, mask):
        return random_model(frames, mask).positions

    for num_people, num_frames in ((1, 1), (2, 3), (1, 7)):
        frames = _frames(num_people, num_frames)
        mask = tf.ones((num_people, num_frames), tf.bool)
        positions = infer(frames, mask)
        assert positions.shape[-1] == num_people * num_frames
        np.testing.assert_allclose(positions, random_model(frames, mask).positions, atol=1e-3)


def test_expression_bases_can_be_chosen():
    raw = build_model(dataclasses.replace(TINY, expression_basis="blendshapes"))
    assert len(raw.expression_basis.sigma) == len(raw.template.blendshape_names)


def test_decode_follows_its_parameters(model):
    """A translation by t moves the camera-space vertices by t, a light of 2 doubles the colours."""
    ambient = model.encode(_frames(1, 1), tf.ones((1, 1), tf.bool))

    def decode(**changes):
        frame = {**ambient.frame, **changes}
        return model.decode(FaceParameters(identity=ambient.identity, frame=frame))

    base = decode()
    moved = decode(translation=ambient.translation + [10.0, -5.0, 20.0])
    difference = moved.vertices - base.vertices
    np.testing.assert_allclose(
        difference, np.broadcast_to([[[10], [-5], [20]]], difference.shape), atol=1e-2
    )
    np.testing.assert_allclose(
        decode(illumination=2 * ambient.illumination).colours, 2 * base.colours, atol=1e-5
    )
    turned = decode(rotation=tf.constant([[[0.0, 0.5, 0.0]]]))
    # A positive turn about y moves the nose to the image's right.
    nose = model.template.landmark_vertices[30]
    assert turned.positions[nose, 0, 0] > base.positions[nose, 0, 0] + 2
