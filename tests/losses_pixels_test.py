"""Pixel-wise terms: what they weigh, what hides what, and where gradients go."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.losses.objective import build_objective
from fml_tf.losses.pixels import pixel_photometric_loss
from fml_tf.models.building import build_model
from fml_tf.rendering.backend import get_backend
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pixel_image import render_faces
from fml_tf.structures import MultiFrameBatch

SIZE = 80
CAMERA = PerspectiveCamera(focal_length_px=100.0, width=32, height=32)


def test_a_constant_difference_costs_its_length_whatever_the_weights():
    pictures = tf.random.stateless_uniform((2, 8, 8, 3), (0, 1))
    difference = np.float32([0.3, 0.0, -0.4])
    for attention in (np.ones((2, 8, 8)), 0.1 + np.random.default_rng(0).random((2, 8, 8))):
        loss = pixel_photometric_loss(pictures + difference, pictures, np.float32(attention))
        np.testing.assert_allclose(loss, 0.5, atol=1e-4)


def test_pixels_without_weight_have_no_gradient_and_an_empty_frame_costs_nothing():
    pictures = tf.random.stateless_uniform((2, 8, 8, 3), (0, 1))
    attention = np.ones((2, 8, 8), np.float32)
    attention[0, :4], attention[1] = 0, 0
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        loss = pixel_photometric_loss(pictures, tf.zeros_like(pictures), attention)
    gradient = tape.gradient(loss, pictures).numpy()
    assert loss[1] == 0
    assert np.isfinite(gradient).all()
    assert not gradient[1].any() and not gradient[0, :4].any()
    assert (np.abs(gradient[0, 4:]).sum(axis=-1) > 0).all()


def _squares():
    """A small square before a large one, each of two triangles that face the camera."""

    def square(half, depth):
        return [[-half, -half, -depth], [half, -half, -depth], [half, half, -depth],
                [-half, half, -depth]]  # fmt: skip

    vertices = np.float32(square(5, 90) + square(12, 100))[..., None]
    triangles = np.int32([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    colours = np.zeros((8, 3, 1), np.float32)
    colours[:4, 0], colours[4:, 1] = 1, 1
    return vertices, colours, triangles


@pytest.mark.parametrize("name", ["fast", "tfg"])
def test_what_lies_before_the_region_hides_it(name):
    vertices, colours, triangles = _squares()
    region = np.array([False] * 4 + [True] * 4)
    colours = tf.constant(colours)
    with tf.GradientTape() as tape:
        tape.watch(colours)
        pictures, mask = render_faces(
            vertices, colours, region, triangles, CAMERA, get_backend(name)
        )
        total = tf.reduce_sum(pictures)
    mask = mask.numpy()[0]
    assert mask[16, 16] == 0 and mask[16, 8] == 1 and mask[16, 1] == 0
    np.testing.assert_allclose(pictures[0, 16, 8], [0, 1, 0], atol=1e-5)
    assert not np.any(pictures[0][mask == 0])
    gradient = tape.gradient(total, colours).numpy()
    assert not gradient[:4].any() and gradient[4:].all()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    return build_model(
        ModelConfig(
            system="deep3d",
            backbone="resnet18",
            network_width=0.05,
            crop_size=SIZE,
            prior_size=4,
            pixel_size=40,
        )
    )


def _batch(frames, mask):
    people, count = mask.shape
    return MultiFrameBatch(
        frames=tf.constant(frames, tf.float32),
        frame_mask=tf.constant(mask),
        landmarks=tf.fill((people, count, 66, 2), 40.0),
        landmark_confidence=tf.ones((people, count, 66)),
    )


def test_the_term_is_that_of_the_frames_that_count(model):
    skin = np.full((1, 2, SIZE, SIZE, 3), (0.8, 0.6, 0.5))
    batch = _batch(skin, np.array([[True, True]]))
    parameters = model.encode(batch.frames, batch.frame_mask)
    faces = model.decode(parameters)
    objective = build_objective(model, {"pixel_photometric": 1.0})
    both = objective.evaluate(batch, parameters, faces).total
    masked = _batch(skin, np.array([[True, False]]))
    one = objective.evaluate(masked, parameters, faces).total
    np.testing.assert_allclose(both, 2 * one, rtol=1e-5)
    assert one > 0.01


def test_a_blue_thing_before_the_face_counts_for_little(model):
    frames = np.full((1, 1, SIZE, SIZE, 3), (0.8, 0.6, 0.5))
    frames[:, :, 40:] = (0.1, 0.2, 0.9)
    batch = _batch(frames, np.array([[True]]))
    parameters = model.encode(batch.frames, batch.frame_mask)
    faces = model.decode(parameters)
    objective = build_objective(model, {"pixel_photometric": 1.0})
    with_thing = objective.evaluate(batch, parameters, faces).total
    frames[:, :, 40:] = (0.8, 0.6, 0.5)
    alone = objective.evaluate(_batch(frames, np.array([[True]])), parameters, faces).total
    np.testing.assert_allclose(with_thing, alone, rtol=0.15)


def test_the_gradient_reaches_pose_shape_and_light(model):
    frames = np.random.default_rng(0).random((1, 1, SIZE, SIZE, 3))
    batch = _batch(0.4 * frames + np.array([0.5, 0.3, 0.2]), np.array([[True]]))
    parameters = model.encode(batch.frames, batch.frame_mask)
    values = parameters.by_name()
    with tf.GradientTape() as tape:
        tape.watch(values)
        used = type(parameters)(
            identity={name: values[name] for name in parameters.identity},
            frame={name: values[name] for name in parameters.frame},
        )
        objective = build_objective(model, {"pixel_photometric": 1.0})
        loss = objective.evaluate(batch, used, model.decode(used)).total
    for name, gradient in tape.gradient(loss, values).items():
        assert np.isfinite(gradient).all() and np.any(gradient), name


def test_flat_albedo_is_blind_to_its_tone_and_to_hidden_skin(model):
    parameters = model.encode(tf.zeros((1, 1, SIZE, SIZE, 3)), tf.ones((1, 1), tf.bool))
    faces = model.decode(parameters)
    objective = build_objective(model, {"flat_albedo": 1.0})
    batch = _batch(np.zeros((1, 1, SIZE, SIZE, 3)), np.array([[True]]))
    before = objective.evaluate(batch, parameters, faces).total
    lips = tf.constant(model.template.regions["lips"], tf.float32)[:, None, None]
    fields = ["identity", "displacements", "vertices", "normals", "positions", "colours", "visible"]
    fields = {name: getattr(faces, name) for name in fields}
    changed = faces.identity.albedo + 0.1 + 0.5 * lips
    identity = type(faces.identity)(faces.identity.neutral_vertices, changed)
    moved = type(faces)(**fields | {"identity": identity})
    after = objective.evaluate(batch, parameters, moved).total
    np.testing.assert_allclose(after, before, rtol=1e-3)
    assert before > 1e-5


def test_pictures_are_compared_at_their_own_size(model):
    assert dataclasses.replace(model.config, pixel_size=0).differences(model.config) == []
