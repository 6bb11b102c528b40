"""evaluate.py on a tiny synthetic data set, with an untrained model and with meshes from files."""

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from scipy.spatial.transform import Rotation

import evaluate
from datasets import synthetic_faces
from datasets.synthetic_faces.synthetic_faces_dataset_builder import SyntheticFacesConfig
from fml_tf.config import ModelConfig
from fml_tf.evaluation import modes, predictors
from fml_tf.evaluation.mesh_predictions import saving_meshes
from fml_tf.evaluation.predictions import FaceFit, Frame, Prediction, Shape
from fml_tf.evaluation.predictors import Method, ModelPredictor
from fml_tf.evaluation.protocols.synthetic_faces import (
    SyntheticFaces,
    light_error,
)
from fml_tf.evaluation.runner import open_output
from fml_tf.files.meshes import write_obj
from fml_tf.geometry.alignment import Similarity
from fml_tf.models.building import build_model
from fml_tf.models.saving import load_model, save_model
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmarks import DetectedFace
from fml_tf.preprocessing.prepare import UncertainFaceError
from fml_tf.template.basel import read_bfm
from fml_tf.template.makehuman import load_makehuman


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    config = SyntheticFacesConfig(name="four", num_people=4, num_frames=2, num_processes=1)
    return synthetic_faces.build(str(tmp_path_factory.mktemp("data")), config)


@pytest.fixture(scope="module")
def protocol(builder):
    return SyntheticFaces(builder, "train")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "exp[1]*?"
    model = build_model(ModelConfig(network_width=0.05, shape_size=6, albedo_size=5))
    save_model(model, directory)
    return directory


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(str(checkpoint))


@pytest.fixture
def run(tmp_path, checkpoint, model, builder, protocol, monkeypatch):
    """Runs the script with flags; model and data are read once for all tests."""
    monkeypatch.setattr(evaluate, "load_model", lambda path: model)
    monkeypatch.setattr(evaluate.synthetic_faces, "build", lambda *_: builder)
    monkeypatch.setattr(evaluate, "SyntheticFaces", lambda *_: protocol)

    def run(*arguments, stray=(), **options):
        options = {
            "checkpoint": checkpoint,
            "dataset": "synthetic_faces",
            "split": "train",
            "output_dir": tmp_path / "out",
        } | options
        values = flags.FlagValues()
        evaluate.define_flags(values)
        given = [f"--{k}={v}" for k, v in options.items() if v is not None]
        values(["evaluate.py", *arguments, *given])
        evaluate.main(["evaluate.py", *stray], values)

    return run


def results(folder):
    return json.loads((folder / "results.json").read_text())


def perfect_fit(truth, frames):
    """The prediction that is the truth."""

    template = load_makehuman("4k")
    neutral = truth["neutral_shape"].astype(np.float64)
    positions = np.zeros((len(frames), len(neutral), 2))
    for m, i in enumerate(frames):
        positions[m, truth["true_landmark_vertices"][i]] = truth["true_landmarks"][i]
    activations = truth["blendshape_activations"][frames]
    return Prediction(
        Shape(neutral, template.triangles, neutral[template.landmark_vertices]),
        FaceFit(
            landmark_vertices=template.landmark_vertices,
            albedo=truth["albedo"],
            expressions=np.tensordot(activations, template.blendshapes, axes=1),
            rotation=truth["rotation"][frames],
            positions=positions,
            illumination=truth["light"][frames],
            photometric_error=np.zeros(len(frames)),
        ),
    )


def test_the_truth_scores_zero(protocol):
    case = protocol.load(next(iter(protocol.cases())))
    figures = protocol.score(case, [0, 1], perfect_fit(case.truth, [0, 1])).figures
    assert set(figures) == {measure.name for measure in protocol.measures}
    assert figures.pop("landmarks") < 0.5  # two landmarks may share a vertex
    assert all(abs(value) < 1e-3 for value in figures.values()), figures


def test_a_larger_face_counts_only_where_size_does(protocol):
    case = protocol.load(next(iter(protocol.cases())))
    perfect = perfect_fit(case.truth, [0]).shape
    larger = Similarity(1.1, Rotation.from_rotvec([0, 0.2, 0]).as_matrix(), np.ones(3))
    shape = Shape(
        larger.apply(perfect.vertices), perfect.triangles, larger.apply(perfect.landmarks)
    )

    figures = protocol.score(case, [0], Prediction(shape)).figures
    assert figures["per_vertex"] < 1e-6 and figures["surface"] < 1e-4
    assert figures["per_vertex_rigid"] > 3
    assert "albedo" not in figures


def test_a_mesh_of_another_topology_is_scored_by_its_surface(protocol):
    case = protocol.load(next(iter(protocol.cases())))
    perfect = perfect_fit(case.truth, [0]).shape
    flipped = perfect.triangles[::-1]

    shape = Shape(perfect.vertices, flipped, perfect.seven)
    figures = protocol.score(case, [0], Prediction(shape)).figures
    assert set(figures) == {"surface", "surface_plane"} and figures["surface"] < 1e-4


def test_light_error_ignores_gain_and_sees_direction():
    rng = np.random.default_rng(0)
    light = rng.normal(size=(9, 3)) * 0.2
    light[0] += 3
    assert light_error(light, light * [2, 3, 4]) < 1e-6
    turned = light.copy()
    turned[3] *= -1
    assert light_error(turned, light) > 1


def test_averaging_is_the_mean_of_the_single_faces(model, protocol):
    case = protocol.load(next(iter(protocol.cases())))
    # Only a model with other identities than zero can tell.
    weight = model.encoder.identity_network.weights[-2]
    kept = weight.numpy()
    weight.assign(np.random.default_rng(0).normal(size=kept.shape, scale=0.1))
    try:
        by_name = {m.name: m.predict for m in ModelPredictor(model).methods([1, 2])}
        singles = [by_name["pooled 1"]("", [frame]).shape.vertices for frame in case.frames]
        averaged = by_name["averaged 2"]("", case.frames).shape.vertices
        pooled = by_name["pooled 2"]("", case.frames).shape.vertices
    finally:
        weight.assign(kept)
    np.testing.assert_allclose(averaged, np.mean(singles, axis=0), atol=1e-3)
    assert np.abs(singles[0] - singles[1]).max() > 1e-4
    assert pooled.shape == averaged.shape


def test_a_whole_run_twice_and_goes_on(run, tmp_path, capsys, monkeypatch):
    # Coarser in what takes long: fewer points for the ICP, smaller pictures.
    monkeypatch.setattr("fml_tf.evaluation.protocols.synthetic_faces._FIT_STRIDE", 40)
    monkeypatch.setattr("fml_tf.evaluation.pictures._SIZE", 60)
    monkeypatch.setattr("fml_tf.evaluation.pictures._SUPERSAMPLING", 1)
    run("--save_meshes", num_frames="1,2")
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} >= {"results.json", "results.md", "report.html"}
    assert {p.name for p in (out / "pictures").iterdir()} == {
        "cumulative.png", "heat_maps.png", "best.png", "median.png", "worst.png",
        "best.html", "median.html", "worst.html",
    }  # fmt: skip
    assert 'href="pictures/worst.html"' in (out / "report.html").read_text()
    (data,) = re.findall(r'id="data">(.*?)</script>', (out / "pictures" / "best.html").read_text())
    assert len(json.loads(data)["frames"]) == 2
    first = results(out)
    assert list(first["methods"]) == ["mean face", "pooled 1", "averaged 2", "pooled 2"]
    assert first["methods"]["pooled 1"]["trials"] == 4 and len(first["cases"]) == 2
    # An untrained model predicts the mean face.
    means = {m["summaries"]["per_vertex"]["mean"] for m in first["methods"].values()}
    assert max(means) - min(means) < 1e-3
    assert len(first["identity"]["predictor"]) == 64 and first["versions"]["tensorflow"]
    assert "| `per_vertex` | mm |" in capsys.readouterr().out

    again = tmp_path / "again"
    monkeypatch.setattr(evaluate, "write_pictures", lambda *_: {})  # takes long
    run(num_frames="1,2", output_dir=again)
    assert (again / "results.json").read_bytes() == (out / "results.json").read_bytes()

    # A run that was cut: the case that is missing is scored, the others are not again.
    (again / "results.json").unlink()
    case = sorted((again / "cases" / "pooled_2").glob("*.json"))[0]
    case.unlink()
    scored = []
    score = SyntheticFaces.score
    monkeypatch.setattr(
        SyntheticFaces, "score", lambda s, c, *a: (scored.append(c.name), score(s, c, *a))[1]
    )
    run(num_frames="1,2", output_dir=again)
    assert scored == [case.stem]
    assert (again / "results.json").read_bytes() == (out / "results.json").read_bytes()

    # The meshes that were kept score the same as from a folder, and compare as equal.
    meshes = tmp_path / "meshes"
    shutil.copytree(out / "meshes" / "pooled_1", meshes)
    theirs = tmp_path / "theirs"
    run(checkpoint=None, predictions=meshes, compare=out, output_dir=theirs)
    ours = first["methods"]["pooled 1"]["summaries"]["per_vertex"]["mean"]
    read = results(theirs)
    assert read["methods"]["meshes"]["summaries"]["per_vertex"]["mean"] == pytest.approx(
        ours, abs=1e-4
    )
    assert abs(read["compared"][0]["difference"]) < 1e-3

    # One mesh is gone, one broken: both are listed, and the tables say so.
    broken, gone = sorted(meshes.glob("*/*.obj"))[:2]
    broken.write_text("garbage")
    gone.unlink()
    failed = tmp_path / "failed"
    run(checkpoint=None, predictions=meshes, output_dir=failed)
    method = results(failed)["methods"]["meshes"]
    assert len(method["failed"]) == 2 and method["summaries"]["per_vertex"]["cases"] == 1
    text = (failed / "results.md").read_text()
    assert "| 2 of 4 |" in text and "## Failed" in text and gone.stem in text


def test_a_model_and_its_peers_in_one_run(run, protocol, tmp_path, monkeypatch):
    monkeypatch.setattr("fml_tf.evaluation.protocols.synthetic_faces._FIT_STRIDE", 40)
    monkeypatch.setattr(evaluate, "write_pictures", lambda *_: {})  # takes long
    for folder in ("deca", "another topology"):
        (tmp_path / folder).mkdir()
        for name in protocol.cases():
            shape = perfect_fit(protocol.load(name).truth, [0]).shape
            triangles = shape.triangles[:: 1 if folder == "deca" else -1]
            write_obj(tmp_path / folder / f"{name}.obj", shape.vertices, triangles)
            np.save(tmp_path / folder / f"{name}.npy", shape.seven)
    run(predictions=f"{tmp_path}/deca,{tmp_path}/another topology/")
    found = results(tmp_path / "out")
    assert list(found["methods"]) == ["mean face", "pooled 1", "deca", "another topology"]
    assert len(found["identity"]["predictor"].split("+")) == 3
    measures = {(row["theirs"], row["ours"]): row["measure"] for row in found["paired"]}
    assert measures["pooled 1", "deca"] == "per_vertex"
    assert measures["deca", "another topology"] == "surface"
    assert "| another topology | deca | `surface` |" in (tmp_path / "out/results.md").read_text()

    with pytest.raises(SystemExit):
        run(predictions=f"{tmp_path}/deca,{tmp_path}/out/../deca", output_dir=tmp_path / "twice")


def test_what_cannot_be_used_is_told_in_a_line(run, tmp_path, capsys, checkpoint):
    def refused(message, **options):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            run(**options)
        assert exit_info.value.code == 2
        line = capsys.readouterr().err
        assert line.startswith("evaluate.py: ") and message in line and line.count("\n") == 1

    refused("--dataset=nothing: no such protocol", dataset="nothing")
    refused("foo: not a flag", stray=["foo"])
    refused("not numbers of 1 or more", num_frames="0,2")
    refused("not numbers of 1 or more", num_frames="some")
    refused("give --save_meshes", dataset="now/test")
    refused("no pictures of CelebA", dataset="celeba", data_dir=tmp_path)
    refused("holds no subject_NN", dataset="micc", data_dir=tmp_path)
    refused("no such folder of predictions", checkpoint=None, predictions=tmp_path / "none")
    refused("holds no model", checkpoint=tmp_path)
    refused("imagepathsvalidation.txt: the list of pictures is missing", dataset="now")
    refused("no such results", compare=tmp_path)
    (tmp_path / "results.json").write_text('{"identity": {}}')
    refused("results.json: not results of an evaluation", compare=tmp_path)
    open_output(tmp_path / "used", {"dataset": "another"})
    (tmp_path / "used" / "cases.txt").write_text("a\n")
    refused("holds scores of another dataset", output_dir=tmp_path / "used")
    refused("used/cases.txt: not a folder", output_dir=tmp_path / "used" / "cases.txt" / "deep")


def test_a_crop_of_another_size_is_refused(model):
    frame = Frame("a/b", np.zeros((96, 96, 3), np.uint8), is_crop=True)
    with pytest.raises(ValueError, match="a/b: a crop of"):
        ModelPredictor(model).crops([frame])


def test_a_face_box_that_is_given_is_taken_at_its_word(model, monkeypatch):
    marks = np.random.default_rng(0).uniform(-20, 20, (66, 2))

    def doubtful_face(box):
        return DetectedFace(box, np.float32(marks + box.centre), np.full(66, 0.1, np.float32))

    class Detector:
        def detect(self, image):
            return [
                doubtful_face(FaceBox(180, 180, 40, 0.9)),
                doubtful_face(FaceBox(30, 30, 40, 0)),
            ]

        def read(self, image, box):
            return doubtful_face(box)

    monkeypatch.setattr(predictors, "make_landmark_detector", lambda name: Detector())
    image = np.random.default_rng(1).integers(0, 255, (240, 240, 3), np.uint8)

    def crop(box):
        return ModelPredictor(model, min_face_size=20).crops([Frame("a", image, box=box)])[0]

    with pytest.raises(UncertainFaceError):
        crop(None)
    assert (crop((0, 0, 100, 100)) == crop((20, 20, 120, 120))).all()  # the second of the faces
    between = crop((90, 100, 150, 150))  # the box, as a square, itself
    assert (between == crop((90, 90, 150, 160))).all()
    assert (between != crop((0, 0, 100, 100))).any()


def test_a_face_that_is_not_in_the_crop_has_no_score(model, monkeypatch):
    monkeypatch.setattr(predictors, "photometric_weights", lambda *_: tf.one_hot([0, 9], 2))
    frames = [Frame(f"{i}", np.zeros((240, 240, 3), np.uint8), is_crop=True) for i in range(2)]
    with pytest.raises(ValueError, match="is seen in crop 1"):
        ModelPredictor(model).predict_pooled("", frames)


def test_images_of_one_person_are_of_one_person(protocol):
    assert protocol.person("000001") == protocol.person("000001__") == "000001"


def test_saved_names_may_have_dots(tmp_path, protocol):
    case = protocol.load(next(iter(protocol.cases())))
    perfect = perfect_fit(case.truth, [0])
    method = saving_meshes(Method("m", 1, lambda *_: perfect), tmp_path)
    method.predict("a", [Frame("a/IMG.1", np.zeros((2, 2, 3), np.uint8))])
    assert (tmp_path / "m" / "a" / "IMG.1.obj").is_file()
    assert np.load(tmp_path / "m" / "a" / "IMG.1.npy").shape == (7, 3)


def test_modes_of_a_prepared_sets_people(checkpoint, model, builder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(modes, "load_model", lambda path: model)
    weight = model.encoder.identity_network.weights[-2]
    kept = weight.numpy()

    def run(data):
        values = flags.FlagValues()
        modes.define_flags(values)
        given = [f"--checkpoint={checkpoint}", f"--output_dir={tmp_path}", "--num_pictures=1"]
        values(["modes", *given, f"--data={data}", "--num_frames=2"])
        modes.main(["modes"], values)

    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "nothing")
    assert stop.value.code == 2 and "nothing" in capsys.readouterr().err
    weight.assign(np.random.default_rng(0).normal(size=kept.shape, scale=0.1))
    try:
        run(builder.data_path)
    finally:
        weight.assign(kept)
    loaded = read_bfm(tmp_path / "model.h5")
    assert loaded.num_vertices == model.template.num_vertices
    assert (tmp_path / "modes.png").is_file()
    with pytest.raises(SystemExit):
        run(builder.data_path)
    assert "--overwrite" in capsys.readouterr().err
