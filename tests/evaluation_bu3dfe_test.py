"""The BU-3DFE protocol on a folder in its layout, made here."""

import shutil

import cv2
import numpy as np
import pytest
from absl import flags

import evaluate
from fml_tf.evaluation.bu3dfe_landmarks import landmarks_of_83, read_indexed_points, seven_of_83
from fml_tf.evaluation.measures import point_to_point
from fml_tf.evaluation.mesh_predictions import MeshPredictor, saving_meshes
from fml_tf.evaluation.predictions import SEVEN, FaceFit, Prediction, Shape
from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols import bu3dfe
from fml_tf.evaluation.protocols.bu3dfe import Bu3dfe, chosen_scans, registered_correspondence
from fml_tf.files.vrml import TexturedMesh
from fml_tf.geometry.surface import Surface
from fml_tf.template.makehuman import load_makehuman
from tools.layouts.bu3dfe import feature_points, indexed_points, vrml

NAME, BASE = "F0007_HA03", "F0007/F0007_HA03AE_F3D"
WIDTH, HEIGHT = 120, 150  # px of one photograph
MM_PER_PX = 2.0
SHIFT = np.array([3.0, -20.0, 15.0])  # the scan's origin is not the model's


def smile():
    """[V, 3] mm of the average head."""
    template = load_makehuman("4k")
    names = template.blendshape_names
    return 0.5 * (
        template.blendshapes[names.index("mouthSmileLeft")]
        + template.blendshapes[names.index("mouthSmileRight")]
    )


def places(vertices, side):
    """Where a photograph from about 45° to one side shows vertices, px of the texture."""
    turn = np.radians(45 if side else -45)
    across = np.cos(turn) * vertices[:, 0] + np.sin(turn) * vertices[:, 2]
    u = WIDTH / 2 + across / MM_PER_PX
    return np.stack([side * WIDTH + u, HEIGHT / 2 - vertices[:, 1] / MM_PER_PX], axis=1)


@pytest.fixture
def root(tmp_path):
    """One scan: the face of the smiling average head, with its correspondence."""
    template = load_makehuman("4k")
    head = template.mean_shape + smile() + SHIFT
    face = template.regions["face"]
    triangles = template.triangles[face[template.triangles].all(axis=1)]
    uv = [places(head - SHIFT, side) / (2 * WIDTH, -HEIGHT) + (0, 1) for side in (0, 1)]
    on_left = head[triangles][:, :, 0].mean(axis=1) < SHIFT[0]
    uv = np.where(on_left[:, None, None], uv[0][triangles], uv[1][triangles])
    base = tmp_path / BASE
    base.parent.mkdir()
    base.with_suffix(".wrl").write_text(vrml(head, triangles, uv, "x.bmp"))
    texture = np.random.default_rng(0).integers(0, 255, (HEIGHT, 2 * WIDTH, 3), np.uint8)
    cv2.imwrite(str(base.with_suffix(".bmp")), texture)
    points = feature_points(head[template.landmark_vertices])
    base.with_suffix(".bnd").write_text(indexed_points(np.arange(83), points))
    (tmp_path / "correspondence").mkdir()
    rows = np.delete(np.flatnonzero(face), slice(None, None, 3))
    text = indexed_points(rows, head[rows])
    (tmp_path / "correspondence" / f"{NAME}.txt").write_text(text)
    (tmp_path / "scans.txt").write_text(f"{NAME}\n")
    return tmp_path


def predicted(expression, scale=1.0):
    """The average head, `expression` [M, V, 3] on top."""
    template = load_makehuman("4k")
    vertices = scale * template.mean_shape.astype(np.float64)
    nothing = np.zeros(0)
    fit = FaceFit(template.landmark_vertices, nothing, scale * expression, *[nothing] * 4)
    return Prediction(
        Shape(vertices, template.triangles, vertices[template.landmark_vertices]), fit
    )


def test_the_layout_is_read(root):
    protocol = Bu3dfe(str(root))
    assert protocol.cases() == {NAME: 2}
    case = protocol.load(NAME)
    assert [frame.name for frame in case.frames] == [f"F0007/{NAME}/0", f"F0007/{NAME}/1"]
    texture = cv2.imread(str(root / f"{BASE}.bmp"), cv2.IMREAD_COLOR_RGB)
    for side, frame in enumerate(case.frames):
        np.testing.assert_array_equal(frame.image, texture[:, side * WIDTH : (side + 1) * WIDTH])
    template = load_makehuman("4k")
    head = template.mean_shape + smile() + SHIFT
    seven = head[template.landmark_vertices][SEVEN]
    np.testing.assert_allclose(case.truth.seven, seven, atol=3.0)


def test_boxes_hold_the_face_of_their_photograph(root):
    landmarks = read_indexed_points(root / f"{BASE}.bnd")[1] - SHIFT
    for side, frame in enumerate(Bu3dfe(str(root)).load(NAME).frames):
        expected = places(landmarks, side) - (side * WIDTH, 0)
        np.testing.assert_allclose(frame.box[:2], expected.min(axis=0), atol=0.1)
        np.testing.assert_allclose(frame.box[2:], expected.max(axis=0), atol=0.1)


def test_each_frame_counts_with_its_own_expression(root):
    protocol = Bu3dfe(str(root))
    case = protocol.load(NAME)
    neutral = protocol.score(case, [0], predicted(0 * smile()[None])).figures
    half = protocol.score(case, [0, 1], predicted(np.stack([smile(), 0 * smile()]))).figures
    for measure, error in neutral.items():
        assert error > 0.2
        assert half[measure] == pytest.approx(error / 2, abs=1e-3)


def test_the_true_face_scores_0_and_only_the_rigid_measure_sees_size(root):
    protocol = Bu3dfe(str(root))
    score = protocol.score(protocol.load(NAME), [0], predicted(smile()[None], scale=1.1))
    assert score.figures["per_vertex"] < 1e-3 and score.figures["surface"] < 1e-3
    assert score.figures["per_vertex_rigid"] > 2.0
    errors = score.error_map.errors
    assert np.isfinite(errors).sum() > 1800 and np.nanmax(errors) < 1e-3


@pytest.fixture(scope="module")
def registered():
    """Our own places [V, 3] on the scan of the smiling average head, and that head."""
    template = load_makehuman("4k")
    head = template.mean_shape + smile() + SHIFT
    face = template.regions["face"]
    triangles = template.triangles[face[template.triangles].all(axis=1)]
    points = feature_points(head[template.landmark_vertices])
    return registered_correspondence(TexturedMesh(head, triangles, None), points), head


def test_registered_places_are_on_the_scan_and_near_the_true_ones(registered):
    places, head = registered
    template = load_makehuman("4k")
    placed = np.isfinite(places).all(axis=1)
    face = template.regions["face"]
    assert not placed[~face].any() and placed.sum() > 0.7 * face.sum()
    triangles = template.triangles[face[template.triangles].all(axis=1)]
    assert point_to_point(places[placed], Surface(head, triangles)).max() < 1e-3
    away = np.linalg.norm(places - head, axis=1)[placed]
    assert away.mean() < 0.5 * np.linalg.norm(smile(), axis=1)[placed].mean()


def test_without_given_correspondence_the_surface_is_the_main_measure(
    root, registered, monkeypatch
):
    given = Bu3dfe(str(root))
    assert given.measures[0].name == "per_vertex"
    assert not any("favour" in measure.meaning for measure in given.measures)
    with_vertices = given.score(given.load(NAME), [0], predicted(0 * smile()[None]))

    shutil.rmtree(root / "correspondence")
    monkeypatch.setattr(bu3dfe, "registered_correspondence", lambda *_: registered[0])
    protocol = Bu3dfe(str(root))
    assert [m.name for m in protocol.measures] == ["surface", "per_vertex", "per_vertex_rigid"]
    assert ["favour" in m.meaning for m in protocol.measures] == [False, True, True]
    score = protocol.score(protocol.load(NAME), [0], predicted(0 * smile()[None]))
    # The curve and the pictures show the main measure.
    assert score.distances.mean() == pytest.approx(score.figures["surface"], abs=0.1)
    assert set(score.figures) == set(with_vertices.figures)
    assert score.figures["surface"] == pytest.approx(with_vertices.figures["surface"])
    assert with_vertices.distances.mean() != pytest.approx(score.distances.mean(), abs=0.1)


def test_a_mesh_of_another_topology_has_the_surface_measure_alone(root):
    protocol = Bu3dfe(str(root))
    shape = predicted(smile()[None]).expressive(0)
    order = np.random.default_rng(0).permutation(len(shape.vertices))
    other = Shape(shape.vertices[order], np.argsort(order)[shape.triangles], shape.landmarks)
    score = protocol.score(protocol.load(NAME), [0], Prediction(other))
    assert list(score.figures) == ["surface"] and score.figures["surface"] < 1e-3


def test_saved_meshes_score_as_the_prediction(root, tmp_path):
    protocol = Bu3dfe(str(root))
    case = protocol.load(NAME)
    ours = predicted(np.stack([smile(), 0 * smile()]))
    folder = tmp_path / "meshes"
    saving_meshes(Method("ours", 2, lambda *_: ours), folder, protocol.expressive).predict(
        case.name, case.frames
    )
    (method,) = MeshPredictor(folder / "ours").methods([1])
    singles = [
        protocol.score(case, [m], method.predict(case.name, [frame])).figures
        for m, frame in enumerate(case.frames)
    ]
    for name, expected in protocol.score(case, [0, 1], ours).figures.items():
        assert np.mean([figures[name] for figures in singles]) == pytest.approx(expected, abs=1e-4)
        assert singles[0][name] < 1e-3 < 0.2 < singles[1][name]


@pytest.mark.parametrize("start, step", [(0, 1), (3, -1), (7, 1)])
def test_landmarks_do_not_hang_on_where_a_group_starts(start, step):
    template = load_makehuman("4k")
    landmarks = template.mean_shape[template.landmark_vertices].astype(np.float64)
    points = feature_points(landmarks)
    for group in (slice(0, 8), slice(8, 16), slice(42, 48), slice(48, 60), slice(60, 68)):
        points[group] = np.roll(points[group][::step], start, axis=0)
    indices, found = landmarks_of_83(points)
    assert len(indices) == 28
    # Brow, chin and lips are ours again; below the nose there is a point between two of ours.
    away = np.linalg.norm(found - landmarks[indices], axis=1)
    assert away.max() < 3.0 and away[indices >= 48].max() < 1e-9
    np.testing.assert_allclose(seven_of_83(points), landmarks[SEVEN], atol=3.0)


def test_the_choice_of_scans_does_not_depend_on_what_is_there():
    names = chosen_scans()
    assert len(set(names)) == 324 and names == chosen_scans()


@pytest.mark.parametrize("missing", [f"{BASE}.bmp", f"{BASE}.bnd", "correspondence/F0007_HA03.txt"])
def test_a_missing_file_is_named(root, missing):
    (root / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing.replace(".", r"\.")):
        Bu3dfe(str(root)).load(NAME)


def test_a_missing_scan_is_named_with_where_it_was_looked_for(root):
    (root / f"{BASE}.wrl").unlink()
    with pytest.raises(FileNotFoundError, match=r"F0007/F0007_HA03\?\?_F3D\.wrl"):
        Bu3dfe(str(root)).load(NAME)


def test_a_half_copied_scan_is_named(root):
    path = root / f"{BASE}.wrl"
    path.write_text(path.read_text()[:-2000])
    with pytest.raises(ValueError, match=r"_F3D\.wrl: is cut off"):
        Bu3dfe(str(root)).load(NAME)


def test_a_texture_that_is_no_two_photographs_is_refused(root):
    scan, mixed = root / f"{BASE}.wrl", np.random.default_rng(0)
    text = scan.read_text()
    start = text.index("TextureCoordinate")
    points = "\n".join(f"{u} {v}," for u, v in mixed.uniform(size=(text.count("\n"), 2)))
    first, last = text.index("[", start), text.index("]", start)
    scan.write_text(f"{text[: first + 1]}{points}{text[last:]}")
    with pytest.raises(ValueError, match="is not a photograph of it"):
        Bu3dfe(str(root)).load(NAME)


def test_a_correspondence_cut_at_a_line_end_is_refused(root):
    path = root / "correspondence" / f"{NAME}.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(ValueError, match=rf"{NAME}\.txt: only 621 of the face's 1865 vertices"):
        Bu3dfe(str(root)).load(NAME)


def test_a_broken_index_is_refused(root):
    path = root / "correspondence" / f"{NAME}.txt"
    path.write_text("1.7 0 0 0\n" + path.read_text())
    with pytest.raises(ValueError, match=rf"{NAME}\.txt: an INDEX is not a whole number"):
        Bu3dfe(str(root)).load(NAME)


@pytest.mark.parametrize("text, message", [("", "lists no name"), ("F0007\n", "expected names")])
def test_a_wrong_list_is_refused(root, text, message):
    (root / "scans.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        Bu3dfe(str(root))


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="F0001 to M0044"):
        Bu3dfe(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="F0001 to M0044"):
        Bu3dfe(str(tmp_path / "none"))


def test_the_script_opens_it(root):
    options = flags.FlagValues()
    evaluate.define_flags(options)
    options(["evaluate.py", "--dataset=bu3dfe", f"--data_dir={root}", "--output_dir=x"])
    protocol = evaluate.open_protocol(options)
    assert protocol.settings == {"scans": "1 of scans.txt", "correspondence": "given"}
