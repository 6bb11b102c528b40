"""The CelebA protocol on folders in its layouts, made here, and models of fewer vectors."""

import types

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from full_disk import full_disk

from fml_tf.config import ModelConfig
from fml_tf.evaluation.model_sizes import TruncatedModels, projection
from fml_tf.evaluation.predictions import Frame, Prediction, Shape
from fml_tf.evaluation.predictors import ModelPredictor
from fml_tf.evaluation.principal_components import principal_components
from fml_tf.evaluation.protocols import celeba
from fml_tf.evaluation.protocols.celeba import CelebA, face_box
from fml_tf.models.building import build_model
from fml_tf.template.makehuman import load_makehuman
from tools.layouts import celeba as layout

NAMES = [f"{number:06d}.jpg" for number in range(1, 13)]
LANDMARKS = [69, 111, 108, 111, 89, 132, 72, 152, 106, 152]
HEAD = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y"


def make_folder(root, images, annotations="", partition=""):
    for folder in (images, annotations, partition):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for brightness, name in enumerate(NAMES):
        cv2.imwrite(str(root / images / name), np.full((218, 178, 3), 20 * brightness, np.uint8))
    boxes = "".join(f"{name}    30  40 100  120\n" for name in NAMES)
    (root / annotations / "list_bbox_celeba.txt").write_text(
        f"{len(NAMES)}\nimage_id x_1 y_1 width height\n{boxes}"
    )
    marks = "".join(f"{name} {' '.join(map(str, LANDMARKS))}\n" for name in NAMES)
    (root / annotations / "list_landmarks_align_celeba.txt").write_text(
        f"{len(NAMES)}\n{HEAD} rightmouth_x rightmouth_y\n{marks}"
    )
    numbers = [0] * 5 + [1] + [2] * 6
    rows = "".join(f"{name} {number}\n" for name, number in zip(NAMES, numbers))
    (root / partition / "list_eval_partition.txt").write_text(rows)
    return str(root)


@pytest.mark.parametrize(
    ("images", "annotations", "partition", "box"),
    [
        ("Img/img_celeba", "Anno", "Eval", (30, 40, 130, 160)),
        ("img_align_celeba", "", "", face_box(LANDMARKS)),
    ],
)
def test_the_layouts_give_the_test_partition(tmp_path, images, annotations, partition, box):
    protocol = CelebA(make_folder(tmp_path, images, annotations, partition), seed=0)
    assert list(protocol.cases()) == NAMES[6:]
    (frame,) = protocol.load(NAMES[8]).frames
    assert frame.name == "000009" and frame.box == pytest.approx(box)
    assert abs(int(frame.image.mean()) - 160) <= 2
    assert [frame.name for frame in protocol.training_pictures()] == [n[:-4] for n in NAMES[:5]]


def test_a_model_is_scored_on_single_pictures_after_a_pca_of_the_training_ones(tmp_path):
    protocol = CelebA(make_folder(tmp_path, "img_align_celeba"), seed=0)
    seen = []

    def identity(frames):
        seen.extend(frame.name for frame in frames)
        raise ValueError("no face")

    predictor = types.SimpleNamespace(identity=identity)
    with pytest.raises(ValueError, match="--num_frames: CelebA has one picture"):
        protocol.model_methods(predictor, [1, 2])
    with pytest.raises(ValueError, match="no faces in the pictures"):
        protocol.model_methods(predictor, [1])
    assert seen == [name[:-4] for name in NAMES[:5]]


def test_uncropped_pictures_come_first(tmp_path):
    make_folder(tmp_path, "img_align_celeba")
    root = make_folder(tmp_path, "img_celeba")
    assert CelebA(root, seed=0).settings["layout"] == "img_celeba"


def test_the_choice_is_by_the_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(celeba, "NUM_PICTURES", 3)
    root = make_folder(tmp_path, "img_celeba")
    chosen = {seed: list(CelebA(root, seed).cases()) for seed in range(4)}
    assert chosen[0] == list(CelebA(root, 0).cases()) and len(set(map(tuple, chosen.values()))) > 1
    assert all(set(names) <= set(NAMES[6:]) and len(names) == 3 for names in chosen.values())


def test_a_prepared_tfds_is_read(tmp_path, monkeypatch):
    builder = tfds.builder("celeb_a", data_dir=tmp_path)
    sides = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    marks = dict(zip([f"{side}_{axis}" for side in sides for axis in "xy"], LANDMARKS))

    def examples(first, count):
        for number in range(first, first + count):
            yield (
                f"{number:06d}.jpg",
                {
                    "image": np.full((218, 178, 3), 10 * number, np.uint8),
                    "landmarks": marks,
                    "attributes": dict.fromkeys(builder.info.features["attributes"], False),
                    "identity": {"Identity_No": number},
                },
            )

    parts = {"train": (0, 4), "validation": (4, 1), "test": (5, 3)}
    monkeypatch.setattr(
        type(builder),
        "_split_generators",
        lambda *_: {split: examples(*part) for split, part in parts.items()},
    )
    with pytest.raises(FileNotFoundError, match="no pictures of CelebA"):
        CelebA(str(tmp_path), seed=0)
    builder.download_and_prepare()
    protocol = CelebA(str(tmp_path), seed=0)
    assert list(protocol.cases()) == ["test/000000", "test/000001", "test/000002"]
    frames = [protocol.load(name).frames[0] for name in protocol.cases()]
    assert sorted(int(frame.image.mean()) // 10 for frame in frames) == [5, 6, 7]
    assert frames[0].box == pytest.approx(face_box(LANDMARKS))
    assert len(protocol.training_pictures()) == 4


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Img/img_celeba, img_celeba"):
        CelebA(str(tmp_path), seed=0)
    root = make_folder(tmp_path, "img_celeba")
    (tmp_path / "img_celeba" / NAMES[7]).unlink()
    with pytest.raises(FileNotFoundError, match=NAMES[7]):
        CelebA(root, seed=0).load(NAMES[7])
    partition = tmp_path / "list_eval_partition.txt"
    partition.write_text("000001.jpg 0\n")
    with pytest.raises(ValueError, match="test partition holds no picture"):
        CelebA(root, seed=0)
    partition.write_text("000001.jpg two\n")
    with pytest.raises(
        ValueError, match=r"list_eval_partition\.txt: expected a name and 1 numbers"
    ):
        CelebA(root, seed=0)
    partition.unlink()
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition\.txt: a list of CelebA"):
        CelebA(root, seed=0)


def test_a_mesh_has_no_colours(tmp_path):
    protocol = CelebA(make_folder(tmp_path, "img_celeba"), seed=0)
    shape = Shape(np.eye(3), np.array([[0, 1, 2]]), np.zeros((7, 3)))
    with pytest.raises(ValueError, match="meshes from files cannot be scored"):
        protocol.score(protocol.load(NAMES[6]), [0], Prediction(shape))


def test_a_projection_keeps_the_first_components_and_is_orthogonal():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(30, 6))
    parameters = rng.normal(size=(40, 6)) * [5, 4, 3, 2, 1, 0.5]
    components = principal_components(parameters @ basis.T, 6)

    def restrict(size):
        fixed, matrix = (
            value.numpy().astype(float) for value in projection(components, basis, size)
        )
        return fixed + (parameters - fixed) @ matrix.T

    np.testing.assert_allclose(restrict(0), np.tile(parameters.mean(axis=0), (40, 1)), atol=1e-5)
    np.testing.assert_allclose(restrict(6), parameters, atol=1e-4)
    errors = [np.sum(((restrict(k) - parameters) @ basis.T) ** 2) for k in range(7)]
    # What a projection leaves out is the variance of the other components.
    left_out = 39 * (components.variance.sum() - np.cumsum([0, *components.variance]))
    np.testing.assert_allclose(errors, left_out, rtol=1e-4, atol=1e-4)


def test_smaller_models_lie_between_the_mean_and_the_whole(monkeypatch):
    monkeypatch.setattr("fml_tf.evaluation.model_sizes.TABLE_SIZES", (0, 2, 500))
    model = build_model(ModelConfig(network_width=0.05, shape_size=4, albedo_size=3))
    rng = np.random.default_rng(0)
    weight = model.encoder.identity_network.weights[-2]
    weight.assign(rng.normal(size=weight.shape, scale=0.1))
    pictures = rng.integers(0, 255, (5, 240, 240, 3), np.uint8)
    frames = [Frame(f"{i}", picture, is_crop=True) for i, picture in enumerate(pictures)]
    predictor = ModelPredictor(model)
    methods = {m.name: m for m in TruncatedModels(predictor, frames).methods()}
    assert list(methods) == ["0 vectors", "2 vectors", "whole model"]
    assert methods["2 vectors"].note == "PCA of 5 faces in 5 pictures"
    assert methods["whole model"].note == "4 vectors"

    shapes = {
        name: np.stack([method.predict("", [frame]).shape.vertices for frame in frames])
        for name, method in methods.items()
    }
    whole = shapes["whole model"]
    np.testing.assert_allclose(
        shapes["0 vectors"], np.broadcast_to(whole.mean(axis=0), whole.shape), atol=1e-3
    )
    spread = [np.square(whole - shapes[f"{size} vectors"]).sum() for size in (0, 2)]
    assert spread[0] > 2 * spread[1] > 0
    # The face that is left is the one that pose and colours are regressed for.
    fits = [methods[name].predict("", frames[:1]).fit for name in ("0 vectors", "whole model")]
    assert not np.allclose(fits[0].positions, fits[1].positions)
    assert load_makehuman("4k").num_vertices == fits[0].positions.shape[1]
    # ‖d‖₁ / √3 ≤ ‖d‖₂ ≤ ‖d‖₁, and the absolute error is the mean of ‖d‖₁ / 3.
    euclidean, absolute = fits[1].photometric_distance, fits[1].photometric_error
    assert np.sqrt(3) * absolute < euclidean < 3 * absolute

    with pytest.raises(ValueError, match="2 vectors: the PCA's faces vary in only 1 component"):
        TruncatedModels(predictor, [*frames[:2], frames[0]]).methods()


def test_made_pictures_are_aligned_as_celebas():
    turned = np.array([[0.9, 0.3], [-0.3, 0.9]])
    points = np.reshape(LANDMARKS, (5, 2)) @ turned.T + [40, 60]
    picture, moved = layout.align(np.zeros((300, 300, 3), np.uint8), points)
    assert picture.shape == (218, 178, 3)
    np.testing.assert_allclose(moved, np.reshape(LANDMARKS, (5, 2)), atol=1.0)


def test_a_folder_is_made_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    blue = np.random.default_rng(0).integers(0, 256, (240, 240, 3), np.uint8) // [1, 2, 4]
    example = {
        "frames": [cv2.imencode(".png", blue)[1].tobytes()],
        "true_landmarks": np.random.default_rng(1).uniform(60, 180, (1, 66, 2)),
    }
    people = [(index, (example,)) for index in range(8)]
    monkeypatch.setattr(layout, "generate", lambda *_: people)
    root = tmp_path / "celeba"
    given = {"output_dir": str(root), "people": 8, "seed": 4}
    monkeypatch.setattr(layout.flags, "FLAGS", types.SimpleNamespace(**given))
    with full_disk(30_000), pytest.raises(SystemExit) as ended:  # a picture has more
        layout.main([])
    *_, line = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    picture = root / "Img" / "img_celeba" / "000001.jpg"
    assert line == f"celeba layout: {picture}: cannot be written: File too large"
    assert not list(tmp_path.iterdir())

    layout.main([])
    protocol = CelebA(str(root), 0)
    assert protocol.cases() == {"000008.jpg": 1}
    (frame,) = protocol.load("000008.jpg").frames
    np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), [31, 63, 127], atol=3)  # RGB
