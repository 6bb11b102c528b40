"""The truth of synthetic people as crops show it, and that augmentation takes it along."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from fml_tf.data.augmentation import Augmentation, augment
from fml_tf.data.batches import as_batch, decode_example
from fml_tf.data.ground_truth import TRUTH_FEATURES, crop_rotation, ground_truth, mirror_truth
from fml_tf.geometry.landmark_order import MIRROR_66
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.synthesis.generator import CROP_SIZE, SOURCE_SIZE, FaceGenerator, FrameSettings
from fml_tf.template.makehuman import load_makehuman

FRAMES = 2
MOVES = Augmentation(crop=0.08, flip=True)


@pytest.fixture(scope="module")
def raw():
    generator = FaceGenerator(FrameSettings(num_frames=FRAMES))
    return generator.example(generator.person(5), 5, 0)


@pytest.fixture(scope="module")
def decoded(raw):
    return decode_example({name: tf.constant(value) for name, value in raw.items()}, FRAMES)


def _at(positions, vertices):
    return np.stack([np.asarray(positions)[m, vertices[m]] for m in range(FRAMES)])


def assert_near(landmarks, others):
    """[M, 66, 2] px; expressions are not quite symmetric, those of the mouth up to half a pixel."""
    np.testing.assert_allclose(landmarks[:, :48], others[:, :48], atol=0.06)
    np.testing.assert_allclose(landmarks[:, 48:], others[:, 48:], atol=0.6)


def test_positions_are_those_of_the_true_landmarks(raw, decoded):
    truth = ground_truth(decoded)
    seen = _at(truth["positions"], raw["true_landmark_vertices"])
    np.testing.assert_allclose(seen, raw["true_landmarks"], atol=0.02)


def test_rotation_is_that_of_a_camera_that_looks_at_the_crops_centre(raw, decoded):
    rotations = Rotation.from_rotvec(ground_truth(decoded)["rotation"].numpy())
    for m, matrix in enumerate(raw["crop_transform"]):
        centre = (CROP_SIZE / 2 - matrix[:, 2]) / matrix[0, 0] - SOURCE_SIZE / 2
        axis = np.array([centre[0], -centre[1], -raw["focal_length"]])
        turn = Rotation.align_vectors([[0, 0, -1]], [axis / np.linalg.norm(axis)])[0]
        expected = turn * Rotation.from_rotvec(raw["source_rotation"][m])
        assert (expected.inv() * rotations[m]).magnitude() < 1e-4
        turned = crop_rotation(tf.constant(matrix[None]), tf.constant(raw["focal_length"]))[0]
        np.testing.assert_allclose(turned, turn.as_matrix(), atol=1e-5)


def test_the_crops_camera_looks_at_the_crops_centre():
    transform = np.float32([[1.2, 0, -24.0], [0, 1.2, -60.0]])
    turn = crop_rotation(tf.constant(transform[None]), tf.constant(900.0))[0].numpy()
    camera = PerspectiveCamera(900.0, SOURCE_SIZE, SOURCE_SIZE)
    point = turn.T @ [0.0, 0.0, -500.0]
    u, v = project(tf.constant(point[None, :, None]), camera)[0, :, 0].numpy()
    np.testing.assert_allclose(transform @ [u, v, 1], [CROP_SIZE / 2] * 2, atol=1e-3)
    straight = np.float32([[1.0, 0, -32.0], [0, 1.0, -32.0]])
    turn = crop_rotation(tf.constant(straight[None]), tf.constant(900.0))[0]
    np.testing.assert_allclose(turn, np.eye(3), atol=1e-6)


def test_light_falls_on_the_face_as_in_the_source_picture(raw, decoded):
    light = ground_truth(decoded)["illumination"].numpy()
    turn = crop_rotation(decoded["crop_transform"], decoded["focal_length"]).numpy()
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    normals = np.float32(normals / np.linalg.norm(normals, axis=1, keepdims=True))
    for m in range(FRAMES):
        before = _harmonics(normals) @ raw["source_illumination"][m]
        np.testing.assert_allclose(_harmonics(normals @ turn[m].T) @ light[m], before, atol=1e-4)


def _harmonics(normals):
    return spherical_harmonics(tf.constant(normals[..., None]))[..., 0].numpy()


def test_mirroring_twice_changes_nothing(decoded):
    twice = mirror_truth({**decoded, **mirror_truth(decoded)})
    for name, value in twice.items():
        np.testing.assert_allclose(value, decoded[name], rtol=1e-5, atol=2e-4)


def test_a_mirrored_truth_is_the_truth_of_the_mirrored_picture(decoded):
    before, after = ground_truth(decoded), ground_truth({**decoded, **mirror_truth(decoded)})
    template = load_makehuman("4k")
    left = template.landmark_vertices
    right = left[MIRROR_66]
    mirrored = np.asarray(before["positions"]) * (-1, 1) + (CROP_SIZE, 0)
    assert_near(np.asarray(after["positions"])[:, left], mirrored[:, right])
    np.testing.assert_allclose(
        np.asarray(after["neutral_shape"])[left],
        np.asarray(before["neutral_shape"])[right] * (-1, 1, 1),
        atol=1e-4,
    )
    normals = np.float32([[0.6, 0.0, 0.8], [-0.48, 0.36, 0.8], [0.0, -0.6, 0.8]])
    for m in range(FRAMES):
        ours = _harmonics(normals * np.float32([-1, 1, 1])) @ after["illumination"][m].numpy()
        theirs = _harmonics(normals) @ before["illumination"][m].numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("key", [(0, 1), (2, 3), (4, 5), (6, 7)])
def test_augmentation_moves_the_truth_with_the_picture(raw, decoded, key):
    """Landmarks ride on the frames: they tell what happened to them."""
    true = {**decoded, "landmarks": tf.constant(raw["true_landmarks"])}
    moved = augment(true, MOVES, tf.constant(key, tf.int64))
    flipped = not np.allclose(moved["albedo"], decoded["albedo"])
    truth = ground_truth(moved)
    vertices = raw["true_landmark_vertices"]
    landmarks = np.asarray(moved["landmarks"])
    if flipped:
        points = load_makehuman("4k").mean_shape * np.float32([-1, 1, 1])
        distance = np.linalg.norm(
            points[vertices][:, :, None] - load_makehuman("4k").mean_shape, axis=-1
        )
        vertices, landmarks = np.argmin(distance, axis=-1), landmarks[:, MIRROR_66]
    assert_near(_at(truth["positions"], vertices), landmarks)


def test_both_ways_of_the_coin_come_up(decoded):
    outcomes = {
        np.allclose(
            augment(decoded, MOVES, tf.constant(key, tf.int64))["albedo"], decoded["albedo"]
        )
        for key in ((0, 1), (2, 3), (4, 5), (6, 7))
    }
    assert outcomes == {True, False}


def test_what_cannot_follow_is_refused(decoded):
    key = tf.constant((0, 1), tf.int64)
    with pytest.raises(ValueError, match="--augment_colour"):
        augment(decoded, Augmentation(colour=0.1), key)
    with pytest.raises(ValueError, match="cannot change normals"):
        augment({**decoded, "normals": tf.zeros(3)}, MOVES, key)


def test_batches_carry_the_truth(raw, decoded):
    kept = {name: value for name, value in decoded.items() if name not in TRUTH_FEATURES}
    batch = as_batch({**kept, "truth": ground_truth(decoded)})
    assert batch.truth.positions.shape == (FRAMES, len(raw["neutral_shape"]), 2)
    assert as_batch(kept).truth is None
