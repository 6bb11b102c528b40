"""Whole synthetic examples: reproducible, true to their truth, and a TFDS data set of them."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets.synthetic_faces import Builder, SyntheticFacesConfig, build
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.pose import rotate, rotation_matrix
from fml_tf.synthesis.generator import SOURCE_SIZE, FaceGenerator, FrameSettings
from fml_tf.synthesis.scene import HeadPose, Light
from fml_tf.synthesis.workers import generate
from fml_tf.template.makehuman import load_makehuman

SETTINGS = FrameSettings(num_frames=2)


@pytest.fixture(scope="module")
def generator():
    return FaceGenerator(SETTINGS)


@pytest.fixture(scope="module")
def example(generator):
    return generator.example(generator.person(3), 3, 0)


def assert_same(first: dict, second: dict):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_an_example_depends_on_seed_person_and_image_alone(generator, example):
    generator.example(generator.person(1), 1, 0)  # whatever was made before
    assert_same(example, generator.example(generator.person(3), 3, 0))
    other_image = generator.example(generator.person(3), 3, 1)
    assert other_image["frames"] != example["frames"]
    np.testing.assert_array_equal(other_image["neutral_shape"], example["neutral_shape"])
    np.testing.assert_array_equal(other_image["albedo"], example["albedo"])
    other_seed = FaceGenerator(FrameSettings(num_frames=2, seed=1)).person(3)
    assert np.abs(other_seed.neutral - generator.person(3).neutral).max() > 1


@pytest.mark.large
def test_examples_do_not_depend_on_the_number_of_processes():
    alone = dict(generate(SETTINGS, range(3), 1, num_processes=1))
    together = dict(generate(SETTINGS, range(3), 1, num_processes=2))
    assert alone.keys() == together.keys()
    for person in alone:
        first, second = alone[person][0], together[person][0]
        # Products of matrices are rounded by the number of threads, which processes share.
        shapes = first.pop("neutral_shape"), second.pop("neutral_shape")
        np.testing.assert_allclose(*shapes, rtol=1e-6)
        assert_same(first, second)


def test_truth_projects_on_the_true_landmarks(example):
    template = load_makehuman("4k")
    shape = example["neutral_shape"] + np.einsum(
        "mk,kvc->mvc", example["blendshape_activations"], template.blendshapes
    )
    rotated = rotate(shape.transpose(1, 2, 0), rotation_matrix(example["source_rotation"]))
    posed = rotated + example["source_translation"].T
    camera = PerspectiveCamera(float(example["focal_length"]), SOURCE_SIZE, SOURCE_SIZE)
    positions = project(posed, camera).numpy().transpose(2, 0, 1)
    for frame, (matrix, vertices) in enumerate(
        zip(example["crop_transform"], example["true_landmark_vertices"])
    ):
        in_crop = positions[frame, vertices] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(in_crop, example["true_landmarks"][frame], atol=0.1)
        np.testing.assert_array_equal(vertices[17:], template.landmark_vertices[17:])


def test_landmarks_lie_in_the_crop_near_the_truth(example):
    error = np.linalg.norm(example["landmarks"] - example["true_landmarks"], axis=-1)
    assert 0.1 < np.median(error) < 3
    assert np.mean((example["landmarks"] > 0) & (example["landmarks"] < 240)) > 0.98


def test_pictures_show_the_albedo_under_white_light(generator, example):
    person = generator.person(3)
    pose = HeadPose(np.zeros(3, np.float32), np.array([0, 30, -1100], np.float32))
    unlit = Light(ambient_illumination(), np.array([0, 0, 1], np.float32), np.zeros(3, np.float32))
    camera = PerspectiveCamera(1400.0, 320, 320)
    background = np.zeros((320, 320, 3), np.float32)
    picture = generator.draw(person, pose, unlit, camera, background)
    template = load_makehuman("4k")
    # The front of the face, where no vertex hides another: cheeks, forehead, nose's back.
    chosen = np.flatnonzero(template.regions["skin"] & (np.abs(template.mean_shape[:, 0]) < 40))
    posed = pose.apply(example["neutral_shape"][chosen])[:, :, None]
    column, row = project(posed, camera).numpy()[:, :, 0].astype(int).T
    error = np.abs(picture[row, column] - example["albedo"][chosen]).mean(axis=1)
    assert np.median(error) < 0.06


def test_an_albedo_is_a_colour_and_features_have_their_shapes(example):
    assert example["albedo"].min() >= 0 and example["albedo"].max() <= 1
    frame = cv2.imdecode(np.frombuffer(example["frames"][0], np.uint8), cv2.IMREAD_COLOR)
    assert frame.shape == (240, 240, 3)
    assert np.isfinite(
        np.concatenate([np.ravel(v) for k, v in example.items() if k != "frames"])
    ).all()


def test_a_person_is_human_sized(generator):
    template = load_makehuman("4k")
    for index in range(4):
        face = generator.person(index).neutral[template.landmark_vertices]
        assert 70 < np.linalg.norm(face[36] - face[45]) < 105  # outer eye corners
        assert 85 < np.linalg.norm(face[27] - face[8]) < 145  # nasion to chin


def test_builder_writes_disjoint_splits(tmp_path):
    config = SyntheticFacesConfig(
        name="two_images", num_people=3, images_per_person=2, num_frames=1, num_processes=1
    )
    builder = build(str(tmp_path), config)
    people = {}
    for split, count in (("train", 2), ("validation", 2), ("test", 2)):
        examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
        assert len(examples) == count
        people[split] = {example["person_id"] for example in examples}
        assert examples[0]["frames"].shape == (1, 240, 240, 3)
        assert examples[0]["frames"].dtype == np.uint8
        assert examples[0]["frames"].std() > 5
        assert examples[0]["landmarks"].shape == (1, 66, 2)
        np.testing.assert_array_equal(examples[0]["neutral_shape"], examples[1]["neutral_shape"])
    assert len(set.union(*people.values())) == 3


def test_too_few_people_are_refused(tmp_path):
    builder = Builder(
        data_dir=str(tmp_path), config=SyntheticFacesConfig(name="nobody", num_people=2)
    )
    with pytest.raises(ValueError, match="num_people=2"):
        builder.download_and_prepare()


def test_unknown_configuration_is_refused(tmp_path):
    with pytest.raises(ValueError, match="huge"):
        build(str(tmp_path), "huge")
