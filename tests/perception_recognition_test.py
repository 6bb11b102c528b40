"""The face recognition network beside dlib's own, and the perceptual loss that looks through it."""

import pathlib

import dlib
import keras
import numpy as np
import pytest
import skimage
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.files.dlib_models import packaged_dlib_model
from fml_tf.geometry.crop import crop_box, crop_image
from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.losses.perceptual import PerceptualLoss
from fml_tf.models.building import build_model
from fml_tf.perception.alignment import CHIP_SIZE, chip_to_crop, cut_chips
from fml_tf.perception.dlib_weights import read_dlib_weights
from fml_tf.perception.recognition import FaceRecognition, centred_cosine, mean_descriptor
from fml_tf.rendering.pixel_image import render_faces
from fml_tf.structures import MultiFrameBatch

NETWORK = packaged_dlib_model("dlib_face_recognition_resnet_model_v1.dat")
SIZE = 96


@pytest.fixture(scope="module")
def recognition():
    return FaceRecognition()


@pytest.fixture(scope="module")
def predictor():
    return dlib.shape_predictor(str(packaged_dlib_model("shape_predictor_68_face_landmarks.dat")))


@pytest.fixture(scope="module")
def portrait(predictor):
    """A crop [240, 240, 3] uint8 of the portrait, and dlib's 68 landmarks in it."""
    image = skimage.data.astronaut()
    (box,) = dlib.get_frontal_face_detector()(image)
    crop = crop_image(image, crop_box(_points(predictor(image, box))))
    (box,) = dlib.get_frontal_face_detector()(crop)
    return crop, predictor(crop, box)


@pytest.fixture(scope="module")
def chip(portrait):
    return np.float32(dlib.get_face_chip(*portrait, CHIP_SIZE, 0.25)[None]) / 255


def _points(shape):
    """Our landmarks [66, 2] of dlib's, px from the outer corner."""
    return np.float32([(point.x, point.y) for point in shape.parts()])[FROM_68] + 0.5


def _input(portrait):
    crop, shape = portrait
    return np.float32(crop[None]) / 255, _points(shape)[None]


def test_descriptors_are_those_of_dlib(recognition, chip):
    theirs = dlib.face_recognition_model_v1(str(NETWORK)).compute_face_descriptor(
        np.uint8(np.round(255 * chip[0]))
    )
    np.testing.assert_allclose(recognition(chip)[0], theirs, atol=1e-5)


def test_a_chip_lies_where_dlib_cuts_it(portrait):
    matrix = chip_to_crop(_input(portrait)[1])[0].numpy()
    theirs = dlib.get_face_chip_details(portrait[1], CHIP_SIZE, 0.25)
    scale = np.hypot(*matrix[:, 0])
    # They fit two landmarks more.
    assert scale == pytest.approx(theirs.rect.width() / CHIP_SIZE, rel=0.01)
    assert np.arctan2(matrix[1, 0], matrix[0, 0]) == pytest.approx(theirs.angle, abs=0.01)
    corner = np.array([theirs.rect.left(), theirs.rect.top()])
    middle = corner + (theirs.rect.width() - 1) / 2 + 0.5
    np.testing.assert_allclose(matrix @ (75, 75, 1), middle, atol=0.6)


def test_our_chip_looks_to_the_network_like_that_of_dlib(recognition, portrait, chip):
    ours = recognition.describe(*_input(portrait))
    # dlib calls faces that are nearer than 0.6 those of one person.
    assert np.linalg.norm(ours - recognition(chip)) < 0.06


def test_a_descriptor_moves_with_the_landmarks(recognition, portrait):
    crops, landmarks = _input(portrait)
    before = recognition.describe(crops, landmarks)
    wider = np.pad(crops, ((0, 0), (7, 4), (20, 1), (0, 0)))
    turned = np.rot90(wider, axes=(1, 2))
    u, v = np.moveaxis(landmarks + np.float32((20, 7)), -1, 0)
    after = recognition.describe(turned, np.stack([v, wider.shape[2] - u], axis=-1))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_the_gradient_of_a_chip_is_that_of_the_resampling(portrait):
    crops, landmarks = (tf.constant(values) for values in _input(portrait))
    weights = tf.random.stateless_normal((1, CHIP_SIZE, CHIP_SIZE, 3), (0, 1))
    with tf.GradientTape() as tape:
        tape.watch([crops, landmarks])
        total = tf.reduce_sum(weights * cut_chips(crops, landmarks))
    gradient, to_landmarks = tape.gradient(total, [crops, landmarks])
    # Resampling is linear.
    np.testing.assert_allclose(tf.reduce_sum(gradient * crops), total, rtol=1e-3)
    assert to_landmarks is None


def test_landmarks_in_one_place_and_beyond_the_crop_give_a_finite_chip():
    crops = tf.random.stateless_uniform((2, 20, 30, 3), (0, 1))
    landmarks = np.zeros((2, 66, 2), np.float32)
    landmarks[1] = 1e6 * np.random.default_rng(0).normal(size=(66, 2))
    assert not np.any(cut_chips(crops, landmarks)[0])
    assert np.isfinite(cut_chips(crops, landmarks)).all()


def test_a_step_down_the_gradient_makes_a_picture_more_alike(recognition, portrait):
    crops, landmarks = _input(portrait)
    mean = mean_descriptor()
    target = recognition.describe(crops, landmarks)
    noise = np.random.default_rng(0).normal(0, 0.1, crops.shape)
    picture = tf.constant(np.float32(0.7 * crops + noise))

    @tf.function
    def difference(picture):
        return 1 - centred_cosine(recognition.describe(picture, landmarks), target, mean)[0]

    with tf.GradientTape() as tape:
        tape.watch(picture)
        before = difference(picture)
    gradient = tape.gradient(before, picture)
    assert np.isfinite(gradient).all() and np.any(gradient)
    # Of such a length that a straight slope would go down by a fifth.
    step = 0.2 * before / tf.reduce_sum(tf.square(gradient))
    assert difference(picture - step * gradient) < 0.95 * before


def test_the_cosine_is_seen_from_the_mean():
    mean = np.float32([5, 0])
    first, second = np.float32([[6, 0], [6, 0], [6, 1]]), np.float32([[9, 0], [4, 0], [4, 1]])
    np.testing.assert_allclose(centred_cosine(first, second, mean), [1, -1, 0], atol=1e-6)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"\0" + data[1:], lambda data: b""]
)
def test_a_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "network.dat"
    path.write_bytes(damage(NETWORK.read_bytes()))
    with pytest.raises(ValueError, match=r"network\.dat: damaged"):
        read_dlib_weights(path)
    with pytest.raises(FileNotFoundError, match=r"none\.dat"):
        read_dlib_weights(pathlib.Path(tmp_path, "none.dat"))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_model(
        ModelConfig(
            system="deep3d", backbone="resnet18", network_width=0.05, crop_size=SIZE, prior_size=4
        )
    )


@pytest.fixture(scope="module")
def loss(model):
    return PerceptualLoss(model)


@pytest.fixture(scope="module")
def faces(model):
    """Two frames of the mean face."""
    frames = tf.zeros((1, 2, SIZE, SIZE, 3))
    return model.decode(model.encode(frames, tf.ones((1, 2), tf.bool)))


def _batch(model, faces, spoil=0.0):
    """The rendered faces as frames [1, 2], the first of them with so much noise."""
    region, triangles = model.template.regions["face"], model.template.triangles
    pictures, _ = render_faces(
        faces.vertices, faces.colours, region, triangles, model.camera, model.backend
    )
    noise = np.random.default_rng(0).normal(size=(SIZE, SIZE, 3))
    pictures = pictures.numpy()
    pictures[0] += spoil * noise
    landmarks = tf.gather(faces.positions, model.template.landmark_vertices)
    return MultiFrameBatch(
        frames=tf.constant(pictures)[None],
        frame_mask=tf.ones((1, 2), tf.bool),
        landmarks=tf.transpose(landmarks, (2, 0, 1))[None],
        landmark_confidence=tf.ones((1, 2, 66)),
    )


def _with(batch, **changes):
    names = ["frames", "frame_mask", "landmarks", "landmark_confidence"]
    return MultiFrameBatch(**{name: getattr(batch, name) for name in names} | changes)


def test_a_picture_of_the_rendered_face_itself_costs_nothing(model, loss, faces):
    value = loss(_batch(model, faces), None, faces)
    np.testing.assert_allclose(value.value, 0, atol=1e-5)
    np.testing.assert_allclose(value.measures["identity_cosine"], np.ones((1, 2)), atol=1e-5)


def test_frames_count_once_and_masked_ones_do_not(model, loss, faces):
    batch = _batch(model, faces, spoil=0.3)
    value = loss(batch, None, faces)
    cosine = value.measures["identity_cosine"].numpy()
    assert value.value > 0.1
    np.testing.assert_allclose(value.value, 1 - cosine[0, 0], atol=1e-5)
    first = loss(_with(batch, frame_mask=tf.constant([[True, False]])), None, faces)
    np.testing.assert_allclose(first.value, value.value, atol=1e-5)
    second = loss(_with(batch, frame_mask=tf.constant([[False, True]])), None, faces)
    np.testing.assert_allclose(second.value, 0, atol=1e-5)
    people = loss(batch.by_frame(), None, faces)
    np.testing.assert_allclose(people.value, value.value / 2, atol=1e-5)


def test_in_a_replica_the_gradient_reaches_shape_and_colours_but_no_weights(model, loss, faces):
    batch = _batch(model, faces, spoil=0.3)
    fields = ["identity", "displacements", "vertices", "normals", "positions", "colours", "visible"]
    fields = {name: getattr(faces, name) for name in fields}

    @tf.function
    def gradients():
        inputs = {"vertices": faces.vertices, "colours": faces.colours, "frames": batch.frames}
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            moved = {name: inputs[name] for name in ("vertices", "colours")}
            frames = _with(batch, frames=inputs["frames"])
            value = loss(frames, None, type(faces)(**fields | moved)).value
        assert not tape.watched_variables()
        return tape.gradient(value, inputs)

    found = tf.distribute.MirroredStrategy(["/cpu:0"]).run(gradients)
    assert found["frames"] is None
    for name in ("vertices", "colours"):
        assert np.isfinite(found[name]).all() and np.any(found[name]), name
