"""The model that ships: it is whole, it can be refined, and it sees who is in front of it."""

import numpy as np
import pytest
import tensorflow as tf

import fml_tf
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.models.saving import SHIPPED, read_description
from fml_tf.refinement.refiner import Refiner
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings

PEOPLE, FRAMES = 6, 2
# Of nobody that it learned from: those are of seeds 0 and 1.
SEED = 77


@pytest.fixture(scope="module")
def model():
    return fml_tf.load_model()


@pytest.fixture(scope="module")
def examples():
    generator = FaceGenerator(FrameSettings(num_frames=FRAMES, seed=SEED))
    return [generator.example(generator.person(i), i, 0) for i in range(PEOPLE)]


def frames_of(example):
    pictures = [tf.io.decode_jpeg(data).numpy() for data in example["frames"]]
    return np.stack(pictures).astype(np.float32) / 255.0


def test_it_says_what_it_is_and_is_small():
    description = read_description(SHIPPED)
    assert description.licence == "Apache-2.0"
    assert description.training_data.startswith("synthetic_faces/large")
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 30e6


def test_it_is_nearer_to_people_than_the_mean_of_those_it_knows_and_refined_nearer_still(
    model, examples
):
    face = np.flatnonzero(model.template.regions["face"])
    refiner = Refiner(model, model.prior)
    errors = []
    for example in examples:
        frames, truth = frames_of(example), example["neutral_shape"][face]
        answer = model.encode(tf.constant(frames[None]), tf.ones((1, FRAMES), tf.bool))
        marks = example["landmarks"], example["landmark_confidence"]
        refined = refiner.refine(frames, *marks, answer).parameters
        shapes = [
            model.face_model.identity(p.identity).neutral_vertices[..., 0].numpy()[face]
            for p in (answer, refined)
        ]
        shapes.insert(0, model.training_mean[face])
        errors.append([aligned_rmse(shape, truth) for shape in shapes])
    constant, network, refined = np.square(errors).mean(axis=0)
    assert network < 0.9 * constant
    assert refined < 0.7 * constant
