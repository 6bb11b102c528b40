"""The FaceWarehouse protocol on a folder in its layout, made here."""

import shutil

import cv2
import numpy as np
import pytest
from absl import flags

import evaluate
from fml_tf.evaluation.clay_landmarks import clay_landmarks
from fml_tf.evaluation.mesh_predictions import MeshPredictor, saving_meshes
from fml_tf.evaluation.predictions import SEVEN, FaceFit, Prediction, Shape
from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols.facewarehouse import FaceWarehouse, chosen_testers, read_neutral
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.template.makehuman import load_makehuman
from tools.layouts.facewarehouse import obj

MM_PER_UNIT = 100.0
ORDER = np.random.default_rng(0).permutation(load_makehuman("4k").num_vertices)


def head(number=0):
    """[V, 3] mm: the average head, neutral or with an open jaw."""
    template = load_makehuman("4k")
    opened = template.blendshapes[template.blendshape_names.index("jawOpen")]
    return template.mean_shape + (0.5 * opened if number else 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One tester with two of its poses, in decimetres and an order of vertices of its own."""
    template, root = load_makehuman("4k"), tmp_path_factory.mktemp("facewarehouse")
    poses, shapes = (root / "Tester_3" / part for part in ("TrainingPose", "Blendshape"))
    poses.mkdir(parents=True)
    shapes.mkdir()
    triangles = template.triangles
    quads = np.concatenate([triangles[::2], triangles[1::2, 2:]], axis=1)
    quads = np.argsort(ORDER)[quads]
    for k in range(2):
        vertices = head(k)[ORDER] / MM_PER_UNIT
        (poses / f"pose_{k}.obj").write_text(obj(vertices, quads, template.uv[ORDER]))
        cv2.imwrite(str(poses / f"pose_{k}.png"), np.full((48, 64, 3), 100 + k, np.uint8))
    header = np.array([46, len(ORDER), len(quads)], "<i4").tobytes()
    shape = (head()[ORDER] / MM_PER_UNIT).astype("<f4").tobytes()
    (shapes / "shape.bs").write_bytes(header + 47 * shape)
    (root / "testers.txt").write_text("Tester_3\n")
    return root


@pytest.fixture(scope="module")
def protocol(made):
    return FaceWarehouse(str(made))


def predicted(vertices, expression=None):
    """A mesh from outside; with an `expression` [V, 3] one of our own model's predictions."""
    template, nothing = load_makehuman("4k"), np.zeros(0)
    vertices = vertices.astype(np.float64)
    shape = Shape(vertices, template.triangles, vertices[template.landmark_vertices])
    if expression is None:
        return Prediction(shape)
    fit = FaceFit(template.landmark_vertices, nothing, expression[None], *[nothing] * 4)
    return Prediction(shape, fit)


def test_the_layout_is_read_in_mm(protocol):
    assert list(protocol.cases()) == [f"Tester_3/pose_{k}" for k in range(20)]
    case = protocol.load("Tester_3/pose_1")
    assert [frame.name for frame in case.frames] == ["Tester_3/pose_1"]
    assert (case.frames[0].image == 101).all()
    np.testing.assert_allclose(case.truth.vertices, head(1)[ORDER], atol=1e-3)
    np.testing.assert_allclose(case.truth.tester.neutral, head()[ORDER], atol=1e-3)


def test_the_region_is_the_face(protocol):
    tester = protocol.load("Tester_3/pose_0").truth.tester
    expected = load_makehuman("4k").regions["face"][ORDER]
    assert (tester.face == expected).mean() > 0.97


def test_the_true_face_scores_0_whatever_its_size(protocol):
    case = protocol.load("Tester_3/pose_1")
    turned = 1.3 * head(1)[:, [2, 1, 0]] * (1, 1, -1) + (5, -9, 70)
    figures = protocol.score(case, [0], predicted(turned)).figures
    assert figures["surface"] < 1e-3


def test_expression_counts_in_the_main_measure(protocol):
    case = protocol.load("Tester_3/pose_1")
    nothing, right = np.zeros_like(head()), head(1) - head()
    score = protocol.score(case, [0], predicted(head(), nothing))
    assert score.figures["neutral"] < 1e-3 and score.figures["surface"] > 0.3
    figures = protocol.score(case, [0], predicted(head(), right)).figures
    assert figures["neutral"] < 1e-3 and figures["surface"] < 1e-3
    errors = score.error_map.errors
    assert (np.isfinite(errors) == case.truth.tester.face).all()
    assert len(score.distances) == case.truth.tester.face.sum()


def test_a_mesh_from_outside_has_no_neutral_figure(protocol):
    score = protocol.score(protocol.load("Tester_3/pose_1"), [0], predicted(head(1)))
    assert list(score.figures) == ["surface"]


def test_saved_meshes_score_as_the_prediction(protocol, tmp_path):
    case = protocol.load("Tester_3/pose_1")
    ours = predicted(head(), 0.5 * (head(1) - head()))
    saved = saving_meshes(Method("ours", 1, lambda *_: ours), tmp_path, protocol.expressive)
    saved.predict(case.name, case.frames)
    (method,) = MeshPredictor(tmp_path / "ours").methods([1])
    figures = protocol.score(case, [0], method.predict(case.name, case.frames)).figures
    expected = protocol.score(case, [0], ours).figures["surface"]
    assert figures == {"surface": pytest.approx(expected, abs=1e-4)} and expected > 0.1


def test_clay_landmarks_are_near_the_true_ones():
    template, detector = load_makehuman("4k", "asian-female-young"), DlibLandmarkDetector()
    vertices = 0.01 * template.mean_shape
    found = clay_landmarks(vertices, template.triangles, detector)
    true = template.mean_shape[template.landmark_vertices][SEVEN]
    away = np.linalg.norm(template.mean_shape[found] - true, axis=1)
    # Under the nose a pixel more or less is another depth.
    assert away.max() < 11.0 and away.mean() < 4.0
    with pytest.raises(ValueError, match="no face is found"):
        clay_landmarks(vertices * (1, 1, -1), template.triangles, detector)


def test_a_missing_mesh_is_named(protocol):
    with pytest.raises(FileNotFoundError, match=r"Tester_3/TrainingPose/pose_7\.obj"):
        protocol.load("Tester_3/pose_7")


def test_a_missing_picture_is_named(protocol, made):
    path = made / "Tester_3" / "TrainingPose" / "pose_2.obj"
    path.write_text(path.with_name("pose_1.obj").read_text())
    with pytest.raises(FileNotFoundError, match=r"Tester_3/TrainingPose/pose_2\.png"):
        protocol.load("Tester_3/pose_2")


def test_a_mesh_of_another_topology_is_refused(protocol, made):
    path = made / "Tester_3" / "TrainingPose" / "pose_3.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(ValueError, match=r"pose_3\.obj: 3 vertices, but 4069"):
        protocol.load("Tester_3/pose_3")


def test_a_mesh_cut_in_its_faces_is_refused(made, protocol):
    path = made / "Tester_3" / "TrainingPose" / "pose_4.obj"
    lines = path.with_name("pose_1.obj").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-500]))
    with pytest.raises(
        ValueError, match=r"pose_4\.obj: other faces than pose_0\.obj; is the file cut short\?"
    ):
        protocol.load("Tester_3/pose_4")


def test_a_first_mesh_cut_in_its_faces_is_refused(made, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(made, root)
    path = root / "Tester_3" / "TrainingPose" / "pose_0.obj"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-500]))
    with pytest.raises(ValueError, match=r"pose_0\.obj: 4069 vertices and \d+ polygons, but 4069"):
        FaceWarehouse(str(root)).load("Tester_3/pose_1")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda data: data[:-4], "bytes, but"),
        (lambda data: data[:8], "counts"),
        (lambda data: np.array([45], "<i4").tobytes() + data[4:], "should be 46"),
        (lambda data: data[:12] + np.array([np.nan], "<f4").tobytes() + data[16:], "not finite"),
    ],
)
def test_a_damaged_blendshape_file_is_named(made, tmp_path, change, message):
    path = tmp_path / "shape.bs"
    path.write_bytes(change((made / "Tester_3/Blendshape/shape.bs").read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        read_neutral(path)
    assert str(path) in str(error.value)


def test_the_choice_of_testers_does_not_depend_on_what_is_there():
    names = chosen_testers()
    assert len(set(names)) == 9 and names == chosen_testers()


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="folders Tester_N"):
        FaceWarehouse(str(tmp_path))
    (tmp_path / "Tester_1").mkdir()
    (tmp_path / "testers.txt").write_text("1\n")
    with pytest.raises(ValueError, match="expected names such as Tester_1"):
        FaceWarehouse(str(tmp_path))


def test_the_script_opens_it(made):
    options = flags.FlagValues()
    evaluate.define_flags(options)
    options(["evaluate.py", "--dataset=facewarehouse", f"--data_dir={made}", "--output_dir=x"])
    assert evaluate.open_protocol(options).settings == {"testers": "1 of testers.txt"}
