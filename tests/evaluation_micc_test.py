"""The MICC Florence protocol on a folder in its layout, made here."""

import json
import logging
import shutil

import cv2
import numpy as np
import pytest
from absl import flags
from PIL import Image
from scipy.spatial.transform import Rotation

import evaluate
from fml_tf.evaluation.predictions import SEVEN, Prediction, Shape
from fml_tf.evaluation.protocols.layouts import read_ljson
from fml_tf.evaluation.protocols.micc import MiccFlorence, evenly, read_evenly
from fml_tf.evaluation.textured_scan import find_scan_landmarks, read_textured_scan
from fml_tf.files.meshes import write_obj
from fml_tf.geometry.alignment import Similarity
from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import PersonSampler
from fml_tf.synthesis.renderer import Renderer
from fml_tf.template.makehuman import load_makehuman
from tools.layouts import micc as layout

TO_SCAN = Similarity(
    1.0, Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix(), np.array([40.0, 7, 900])
)
MODEL = "subject_01/Model/frontal1/obj"


def ljson(points):
    """A landmark file as menpo writes it, its parts in an order of their own."""
    order = np.roll(np.arange(68), 9)
    names = ("chin", "leyebrow", "reyebrow", "nose", "leye", "reye", "mouth")
    starts = [0, 17, 22, 27, 36, 42, 48, 68]
    labels = [
        {"label": name, "mask": [int(np.flatnonzero(order == i)[0]) for i in range(a, b)]}
        for name, a, b in zip(names, starts, starts[1:])
    ]
    group = {"landmarks": {"points": points[order].tolist()}, "labels": labels}
    return json.dumps({"version": 3, "groups": {"LJSON": group}})


@pytest.fixture
def root(tmp_path):
    """One subject, the average head; one raw video, one folder of frames, and one is missing."""
    root, template = tmp_path / "micc", load_makehuman("4k")
    for folder in (
        root / MODEL,
        root / "MICC_landmarks" / MODEL,
        root / "subject_01/Video/PTZ-Indoor",
    ):
        folder.mkdir(parents=True)
    vertices = TO_SCAN.apply(template.mean_shape)
    write_obj(root / MODEL / "110920150452.obj", vertices, template.triangles)
    points = np.zeros((68, 3))
    points[FROM_68] = vertices[template.landmark_vertices]
    (root / "MICC_landmarks" / MODEL / "110920150452.ljson").write_text(ljson(points))
    frames = [np.full((64, 80, 3), 6 * number, np.uint8) for number in range(40)]
    encoded = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    (root / "subject_01/Video/Indoor-Cooperative.mjpg").write_bytes(b"".join(encoded))
    for number in range(4):
        (root / f"subject_01/Video/PTZ-Indoor/{number:04d}.jpg").write_bytes(encoded[number])
    return root


def predicted(scale=1.0, offset=0.0):
    """The average head, and with an offset one whose skin lies further out by so much."""
    template = load_makehuman("4k")
    vertices = scale * template.mean_shape.astype(np.float64)
    landmarks = vertices[template.landmark_vertices][SEVEN]
    return Prediction(Shape(vertices, template.triangles, landmarks + offset))


def test_frames_are_spread_over_the_video(root):
    protocol = MiccFlorence(str(root))
    assert list(protocol.cases()) == [
        "subject_01/Indoor-Cooperative", "subject_01/PTZ-Indoor", "subject_01/PTZ-Outdoor",
    ]  # fmt: skip
    frames = protocol.load("subject_01/Indoor-Cooperative").frames
    brightness = np.array([frame.image.mean() / 6 for frame in frames])
    numbers = [int(frame.name[-5:]) for frame in frames]
    np.testing.assert_allclose(brightness, numbers, atol=0.5)
    assert len(numbers) == 30 and numbers[0] == 0 and numbers[-1] == 38
    assert max(np.diff(numbers)) == 2
    assert len(protocol.load("subject_01/PTZ-Indoor").frames) == 4
    assert protocol.settings["landmarks"] == "given"
    (root / "MICC_landmarks").rename(root / "elsewhere")
    assert MiccFlorence(str(root)).settings["landmarks"] == "found"
    assert evenly(3, 5) == [0, 1, 2] and evenly(0, 5) == []


def test_pictures_that_cannot_be_read_are_passed_over(tmp_path, caplog):
    folder = tmp_path / "PTZ-Indoor"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((8, 8, 3), 50 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "1.png").write_text("no picture")
    (folder / ".DS_Store").write_text("of the system")
    with caplog.at_level(logging.WARNING):
        frames = read_evenly(tmp_path, "PTZ-Indoor")
    assert [(number, image[0, 0, 0]) for number, image in frames] == [(0, 0), (2, 100)]
    assert "1.png: not an image" in caplog.text and len(caplog.records) == 1
    for path in folder.glob("*.png"):
        path.write_text("no picture")
    with pytest.raises(ValueError, match="PTZ-Indoor: none of its files is a picture"):
        read_evenly(tmp_path, "PTZ-Indoor")


def test_landmark_files_are_in_the_order_of_the_68(root):
    template = load_makehuman("4k")
    points = read_ljson(root / "MICC_landmarks" / MODEL / "110920150452.ljson")
    expected = TO_SCAN.apply(template.mean_shape[template.landmark_vertices])
    np.testing.assert_allclose(points[FROM_68], expected, atol=1e-5)


def test_icp_with_scale_finds_the_same_face_and_counts_only_near_the_nose(root):
    protocol = MiccFlorence(str(root))
    case = protocol.load("subject_01/PTZ-Indoor")
    score = protocol.score(case, [0], predicted(scale=0.1, offset=0.2))
    assert score.figures["plane_rmse"] < 2e-3 and score.figures["surface"] < 2e-3
    vertices, _, landmarks = case.truth
    measured = np.isfinite(score.error_map.errors)
    distances = np.linalg.norm(vertices - landmarks[30], axis=1)
    np.testing.assert_array_equal(measured, distances <= 95)
    assert measured.sum() == len(score.distances) > 1000


def test_landmarks_are_found_on_a_scan_without_any(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "_TEXTURE_SIZE", 512)
    head = HeadModel("4k")
    # Not each person's mouth is found: of the first six two corners are more than 10 mm off.
    person = PersonSampler(head).sample(np.random.default_rng(4))
    vertices, triangles, uv, texture = layout.scan(head, Renderer(head), person)
    moved = TO_SCAN.apply(vertices)
    layout.write_scan(tmp_path, "11", moved, triangles, uv, texture)
    found = find_scan_landmarks(read_textured_scan(tmp_path / "11.obj"))
    truth = TO_SCAN.apply(person.neutral[head.template.landmark_vertices])
    errors = np.linalg.norm(found - truth, axis=1)
    assert errors[[*SEVEN, 30]].max() < 10

    (tmp_path / "11.bmp").unlink()
    with pytest.raises(FileNotFoundError, match="its texture is not beside it"):
        read_textured_scan(tmp_path / "11.obj")


def test_evaluate_scores_a_mesh_for_each_video_and_lists_the_missing_one(
    root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(evaluate, "write_pictures", lambda *_: {})  # takes long
    shape = predicted(scale=0.1).shape
    folder = tmp_path / "theirs" / "subject_01"
    folder.mkdir(parents=True)
    for video in ("Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor"):
        write_obj(folder / f"{video}.obj", shape.vertices, shape.triangles)
        np.save(folder / f"{video}.npy", shape.landmarks[None])  # with an axis too many, as some do
    values = flags.FlagValues()
    evaluate.define_flags(values)
    out = tmp_path / "out"
    values(
        ["evaluate.py", "--dataset=micc", f"--data_dir={root}", f"--output_dir={out}"]
        + [f"--predictions={tmp_path / 'theirs'}", "--num_frames=8,all"]
    )
    evaluate.main(["evaluate.py"], values)
    results = json.loads((out / "results.json").read_text())
    method = results["methods"]["theirs all"]
    assert method["summaries"]["plane_rmse"]["mean"] < 1e-3
    assert method["trials"] == 3 and len(method["failed"]) == 1
    missing = "subject_01/Video/PTZ-Outdoor.*: the video is missing"
    assert method["failed"][0]["reason"] == missing
    # One video is shorter than eight frames; the missing one should have had three times as many.
    reasons = [trial["reason"] for trial in results["methods"]["theirs 8"]["failed"]]
    assert reasons == ["subject_01/PTZ-Indoor: has only 4 frames", *[missing] * 3]
    text = (out / "results.md").read_text()
    assert "Quoted from the papers, not measured here" in text and "| 1.66 ± 0.52 |" in text
    assert set(results["subsets"]) == {"Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor"}

    # The folder is this data set's, whatever another one's cases are named.
    shutil.copytree(root, tmp_path / "another")
    values["data_dir"].value = str(tmp_path / "another")
    with pytest.raises(SystemExit):
        evaluate.main(["evaluate.py"], values)
    assert "holds scores of another data_dir" in capsys.readouterr().err


def test_what_is_missing_or_damaged_is_named(root, tmp_path):
    protocol = MiccFlorence(str(root))
    marks = root / "MICC_landmarks" / MODEL / "110920150452.ljson"
    for text in ("{", '{"groups": {}}', '{"landmarks": {"points": [[1, 2, 3]]}, "labels": []}'):
        marks.write_text(text)
        with pytest.raises(ValueError, match=r"110920150452\.ljson: "):
            protocol.load("subject_01/PTZ-Indoor")
    marks.unlink()
    with pytest.raises(FileNotFoundError, match="its texture is not beside it"):
        protocol.load("subject_01/PTZ-Indoor")
    (root / MODEL / "110920150452.obj").unlink()
    with pytest.raises(FileNotFoundError, match="the scan is missing"):
        protocol.load("subject_01/PTZ-Indoor")
    with pytest.raises(FileNotFoundError, match="holds no subject_NN"):
        MiccFlorence(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        MiccFlorence(str(tmp_path / "none"))
