"""The NoW protocol on a folder in the challenge's layout, made here."""

import json
import shutil

import cv2
import numpy as np
import pytest
from absl import flags
from scipy.spatial.transform import Rotation

import evaluate
from fml_tf.evaluation.predictions import SEVEN, Prediction, Shape
from fml_tf.evaluation.protocols.layouts import read_picked_points
from fml_tf.evaluation.protocols.now import NowChallenge, face_crop, read_box
from fml_tf.files.meshes import read_mesh, write_obj
from fml_tf.geometry.alignment import Similarity
from fml_tf.template.makehuman import load_makehuman

TO_SCAN = Similarity(
    1.0, Rotation.from_rotvec([0.3, 2.0, -0.4]).as_matrix(), np.array([90, 7, -40])
)
PICTURES = ("FaMoS_1_TA/multiview_neutral/IMG_0001", "FaMoS_1_TA/selfie/IMG_0002")


def picked_points(points):
    """A .pp file as MeshLab writes it, document data and all."""
    lines = [
        "<!DOCTYPE PickedPoints>",
        "<PickedPoints>",
        " <DocumentData>",
        '  <DateTime time="12:00:00" date="2018-07-19"/>',
        '  <User name="x"/>',
        '  <DataFileName name="scan.obj"/>',
        '  <templateName name=""/>',
        " </DocumentData>",
    ]
    lines += [
        f' <point x="{x:.6f}" y="{y:.6f}" z="{z:.6f}" active="1" name="{i}"/>'
        for i, (x, y, z) in enumerate(points)
    ]
    return "\n".join([*lines, "</PickedPoints>", ""])


@pytest.fixture
def root(tmp_path):
    """The challenge with one subject: the average head as scan, in a pose of its own."""
    template = load_makehuman("4k")
    root = tmp_path / "now"
    release = root / "NoW_Dataset" / "final_release_version"
    for picture in PICTURES:
        for kind in ("iphone_pictures", "detected_face"):
            (release / kind / picture).parent.mkdir(parents=True)
        image = np.full((60, 50, 3), 128, np.uint8)
        cv2.imwrite(str(release / "iphone_pictures" / f"{picture}.jpg"), image)
        box = {"top": np.int64(5), "left": 6, "right": 40, "bottom": 50}
        np.save(release / "detected_face" / f"{picture}.npy", box)
    (root / "imagepathsvalidation.txt").write_text("".join(f"{p}.jpg\n" for p in PICTURES))
    for folder in ("scans", "scans_lmks_onlypp"):
        (root / folder / "FaMoS_1_TA").mkdir(parents=True)
    scan = TO_SCAN.apply(template.mean_shape)
    write_obj(root / "scans" / "FaMoS_1_TA" / "neutral.obj", scan, template.triangles)
    seven = scan[template.landmark_vertices][SEVEN]
    (root / "scans_lmks_onlypp" / "FaMoS_1_TA" / "neutral.pp").write_text(picked_points(seven))
    return root


def predicted(scale=1.0, noise=0.0):
    """The average head with landmarks that are a little off."""
    template = load_makehuman("4k")
    vertices = scale * template.mean_shape.astype(np.float64)
    landmarks = vertices[template.landmark_vertices]
    landmarks = landmarks + np.random.default_rng(0).normal(scale=noise, size=landmarks.shape)
    return Prediction(Shape(vertices, template.triangles, landmarks))


def test_the_layout_is_read(root):
    protocol = NowChallenge(str(root))
    assert protocol.cases() == {"FaMoS_1_TA/multiview_neutral": 1, "FaMoS_1_TA/selfie": 1}
    case = protocol.load("FaMoS_1_TA/selfie")
    assert [frame.name for frame in case.frames] == ["FaMoS_1_TA/selfie/IMG_0002"]
    assert case.frames[0].image.shape == (60, 50, 3)
    assert case.frames[0].box == (6, 5, 40, 50)
    vertices, triangles, landmarks = case.truth
    template = load_makehuman("4k")
    np.testing.assert_allclose(vertices, TO_SCAN.apply(template.mean_shape), atol=1e-5)
    np.testing.assert_array_equal(triangles, template.triangles)
    np.testing.assert_allclose(landmarks, vertices[template.landmark_vertices][SEVEN], atol=1e-5)


def test_the_crop_is_a_ball_about_the_nose(root):
    vertices, _, landmarks = NowChallenge(str(root)).load("FaMoS_1_TA/selfie").truth
    inside = face_crop(vertices, landmarks)
    template = load_makehuman("4k")
    marks = template.landmark_vertices
    assert inside[marks[17:]].all()
    assert not inside[
        [template.mean_shape[:, 2].argmin(), template.mean_shape[:, 1].argmax()]
    ].any()
    assert np.linalg.norm(vertices[inside] - vertices[marks[30]], axis=1).max() < 130
    with pytest.raises(ValueError, match="about its landmarks"):
        face_crop(vertices + 1000, landmarks)


def test_icp_mends_landmarks_that_are_off_and_only_the_metrical_variant_sees_size(root):
    protocol, metrical = NowChallenge(str(root)), NowChallenge(str(root), metrical=True)
    case = protocol.load("FaMoS_1_TA/selfie")
    score = protocol.score(case, [0], predicted(scale=1.2, noise=2.0))
    assert score.figures["mean"] < 1e-3 and len(score.distances) > 1000
    errors = score.error_map.errors
    assert np.nanmax(errors) < 0.01 and np.isnan(errors).any()
    assert metrical.score(case, [0], predicted(noise=2.0)).figures["mean"] < 1e-3
    assert metrical.score(case, [0], predicted(scale=1.2)).figures["median"] > 2


def run(root, out, *arguments):
    values = flags.FlagValues()
    evaluate.define_flags(values)
    values(["evaluate.py", f"--data_dir={root}", f"--output_dir={out}", *arguments])
    evaluate.main(["evaluate.py"], values)
    return json.loads((out / "results.json").read_text())


def write_predictions(folder, scale):
    shape = predicted(scale=scale).shape
    for picture in PICTURES:
        stem = folder / picture
        stem.parent.mkdir(parents=True)
        write_obj(stem.with_suffix(".obj"), shape.vertices, shape.triangles)
        np.savetxt(stem.with_suffix(".txt"), shape.seven)
    return f"--predictions={folder}"


def test_evaluate_scores_a_folder_of_predictions(root, tmp_path, capsys, monkeypatch):
    given = write_predictions(tmp_path / "theirs", scale=0.1)  # in cm
    out = tmp_path / "out"
    results = run(root, out, "--dataset=now", given)
    method = results["methods"]["theirs"]
    assert method["trials"] == 2 and not method["failed"]
    assert method["distances"]["median"] < 1e-3
    assert (out / "pictures" / "worst.png").is_file()
    assert "| `median` | mm |" in capsys.readouterr().out
    monkeypatch.setattr(evaluate, "write_pictures", lambda *_: {})  # takes long
    metrical = ["--dataset=now/metrical", "--predictions_unit=cm", given]
    method_in_mm = run(root, tmp_path / "metrical", *metrical)["methods"]["theirs"]
    assert method_in_mm["distances"]["median"] < 1e-3
    # Each challenge has its part of all points.
    parts = [part["theirs"]["distances"] for part in results["subsets"].values()]
    assert list(results["subsets"]) == ["multiview_neutral", "selfie"]
    assert sum(part["points"] for part in parts) == method["distances"]["points"]
    # Both show one subject, of whom no interval can be told.
    assert method["summaries"]["mean"]["interval"] is None


def test_pictures_without_a_scan_can_be_handed_in(root, tmp_path):
    shutil.rmtree(root / "scans")
    (root / "imagepathsvalidation.txt").rename(root / "imagepathstest.txt")
    given = write_predictions(tmp_path / "theirs", scale=1.0)
    out = tmp_path / "out"
    method = run(root, out, "--dataset=now/test", given, "--save_meshes")["methods"]["theirs"]
    assert method["trials"] == 2 and not method["failed"] and not method["summaries"]
    for picture in PICTURES:
        stem = out / "meshes" / "theirs" / picture
        assert np.load(stem.with_suffix(".npy")).shape == (7, 3)
        assert len(read_mesh(stem.with_suffix(".obj")).vertices) == 4069


def test_what_is_missing_or_damaged_is_named(root, tmp_path):
    protocol = NowChallenge(str(root))
    name = "FaMoS_1_TA/selfie"

    pickled = root / "NoW_Dataset/final_release_version/detected_face" / f"{PICTURES[1]}.npy"
    np.save(pickled, {"top": 1})
    with pytest.raises(ValueError, match="not a face box"):
        protocol.load(name)
    pickled.unlink()
    assert protocol.load(name).frames[0].box is None
    assert read_box(tmp_path / "none.npy") is None

    points = root / "scans_lmks_onlypp" / "FaMoS_1_TA" / "neutral.pp"
    points.write_text(picked_points(np.eye(3)))
    with pytest.raises(ValueError, match="3 landmarks, not 7"):
        protocol.load(name)
    points.write_text("<PickedPoints><point x=")
    with pytest.raises(ValueError, match="not picked points"):
        read_picked_points(points)
    points.unlink()
    with pytest.raises(FileNotFoundError, match="the scan's landmarks"):
        protocol.load(name)
    (root / "imagepathsvalidation.txt").write_text("IMG_0001.jpg\n")
    with pytest.raises(ValueError, match="expected SUBJECT/CHALLENGE"):
        NowChallenge(str(root))
