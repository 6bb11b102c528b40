import numpy as np
import pytest
from scipy import spatial

from fml_tf.geometry.topology import boundary_edges, edges
from fml_tf.template import makehuman
from fml_tf.template.loading import load_template
from fml_tf.template.makehuman import load_identity_assets, load_makehuman, mean_names

COUNTS = {"4k": (4069, 8088), "16k": (16225, 32352), "60k": (64801, 129408)}
# Landmark numbers of the 66 (iBUG's without 60 and 64).
RIGHT_EYE, LEFT_EYE, LIPS = range(36, 42), range(42, 48), range(48, 66)
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
            45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
            *range(54, 47, -1), *range(59, 54, -1), 62, 61, 60, 65, 64, 63]  # fmt: skip


@pytest.fixture(scope="module")
def template():
    return load_makehuman("4k")


def landmarks(template):
    return template.mean_shape[template.landmark_vertices]


def test_every_level_is_one_disk_with_its_border_at_the_neck():
    for resolution, (vertices, triangles) in COUNTS.items():
        level = load_makehuman(resolution)
        assert (level.num_vertices, len(level.triangles)) == (vertices, triangles)
        assert vertices - len(edges(level.triangles)) + triangles == 1
        border = level.mean_shape[np.unique(boundary_edges(level.triangles))]
        assert border[:, 1].max() < 0 and border[:, 2].max() < 60  # below the eyes, not in front


def test_origin_is_behind_the_outer_eye_corners(template):
    corners = landmarks(template)[[36, 45]]
    np.testing.assert_allclose(corners.mean(axis=0), [0, 0, 60], atol=1e-4)


def test_size_is_that_of_a_head_in_mm(template):
    extent = np.ptp(template.mean_shape, axis=0)
    assert 140 < extent[0] < 190 and 200 < extent[1] < 260 and 180 < extent[2] < 240
    points = landmarks(template)
    assert 85 < np.linalg.norm(points[36] - points[45]) < 97  # outer eye corners


def test_normals_point_outwards(template):
    corners = template.mean_shape[template.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    nose_tip = template.landmark_vertices[30]
    assert (normals[(template.triangles == nose_tip).any(axis=1), 2] > 0).all()


def test_landmarks_are_symmetric_and_named_from_the_persons_side(template):
    points = landmarks(template)
    np.testing.assert_allclose(points[MIRRORED], points * [-1, 1, 1], atol=1e-4)
    assert len(set(template.landmark_vertices.tolist())) == 66
    for right_side in (range(0, 8), range(17, 22), RIGHT_EYE, (31, 32, 48)):
        assert (points[list(right_side), 0] < 0).all()
    assert (np.diff(points[:9, 1]) < 0).all()  # the contour runs down to the chin
    assert points[8, 1] == points[:, 1].min()
    assert points[30, 2] == points[:, 2].max()  # the nose tip is in front
    assert (points[17:27, 1] > points[36:48, 1].max()).all()  # brows over eyes


def test_lips_touch_along_the_inner_landmarks_and_open_with_the_jaw(template):
    points = landmarks(template)
    upper, lower = points[[60, 61, 62]], points[[65, 64, 63]]
    assert np.abs(upper[:, 1] - lower[:, 1]).max() < 1.5
    opened = (template.mean_shape + template.mouth_opening)[template.landmark_vertices]
    assert (opened[[60, 61, 62], 1] - opened[[65, 64, 63], 1]).min() > 3


def test_coarse_vertices_stay_near_themselves_at_finer_levels(template):
    for resolution in ("16k", "60k"):
        fine = load_makehuman(resolution)
        np.testing.assert_array_equal(fine.landmark_vertices, template.landmark_vertices)
        shift = np.linalg.norm(landmarks(fine) - landmarks(template), axis=1)
        # Subdivision evens the mesh out where vertices were moved to landmarks, most at the brows.
        assert shift.max() < 3.5 and np.median(shift) < 0.6
        shift = fine.mean_shape[: template.num_vertices] - template.mean_shape
        assert np.median(np.linalg.norm(shift, axis=1)) < 0.5


def test_blendshapes_subdivide_like_shapes():
    # The operator is linear: refining a posed coarse head is posing the refined head.
    fine, coarse = load_makehuman("16k"), load_makehuman("4k")
    weights = np.random.default_rng(0).uniform(0, 1, len(coarse.blendshapes)).astype(np.float32)
    posed = coarse.mean_shape + np.tensordot(weights, coarse.blendshapes, 1)
    expected = fine.mean_shape + np.tensordot(weights, fine.blendshapes, 1)
    refined = makehuman._head("16k").refine(posed)
    np.testing.assert_allclose(refined, expected, atol=1e-3)


def test_a_blink_closes_the_eye_of_its_side_only(template):
    blink = template.blendshapes[template.blendshape_names.index("eyeBlinkLeft")]
    moved = template.regions["face"] & (np.linalg.norm(blink, axis=1) > 0.5)
    assert moved.sum() > 100 and (template.mean_shape[moved, 0] > 0).all()
    points = landmarks(template)
    closed = points + blink[template.landmark_vertices]
    assert points[43, 1] - points[47, 1] > 5
    assert abs(closed[[43, 44], 1].mean() - closed[[46, 47], 1].mean()) < 2
    np.testing.assert_array_equal(closed[RIGHT_EYE], points[RIGHT_EYE])


def test_left_and_right_units_are_mirror_images(template):
    _, mirror = spatial.KDTree(template.mean_shape).query(template.mean_shape * [-1, 1, 1])
    for name in ("browDown", "eyeBlink", "eyeSquint", "mouthFrown", "jaw"):
        left, right = (
            template.blendshapes[template.blendshape_names.index(name + side)]
            for side in ("Left", "Right")
        )
        np.testing.assert_allclose(left[mirror] * [-1, 1, 1], right, atol=0.3)
        assert np.abs(left).max() > 2


def test_arkit_names_and_sigma(template):
    assert len(template.blendshape_names) == 52
    assert {"jawOpen", "tongueOut", "eyeLookInLeft", "mouthSmileRight"} <= set(
        template.blendshape_names
    )
    assert ((template.blendshape_sigma > 0) & (template.blendshape_sigma < 0.5)).all()


@pytest.mark.parametrize("resolution", COUNTS)
def test_regions_nest_and_do_not_overlap(resolution):
    level = load_makehuman(resolution)
    regions = level.regions
    parts = [regions[name] for name in ("skin", "lips", "brows", "eyelids")]
    assert (np.sum(parts, axis=0) <= 1).all()
    assert all(part.any() and not (part & ~regions["face"]).any() for part in parts)
    assert 0.4 < regions["face"].mean() < 0.5
    _, y, z = level.mean_shape[regions["face"]].T
    assert z.min() > -20 and y.max() < 80 and y.min() > -125  # no scalp, no ears, no neck
    _, mirror = spatial.KDTree(level.mean_shape).query(level.mean_shape * [-1, 1, 1])
    for mask in regions.values():
        np.testing.assert_array_equal(mask[mirror], mask)


def test_landmarks_lie_in_their_regions(template):
    inside = {name: mask[template.landmark_vertices] for name, mask in template.regions.items()}
    assert inside["face"].all()
    assert inside["lips"][LIPS].all()
    assert inside["eyelids"][RIGHT_EYE].all() and inside["eyelids"][LEFT_EYE].all()
    assert inside["skin"][27:36].all()


def test_contour_candidates_hold_their_landmark_and_run_outwards(template):
    points = template.mean_shape
    for number, chain in enumerate(template.contour_candidates):
        assert template.landmark_vertices[number] in chain
        assert len(set(chain.tolist())) >= 4
        assert points[chain[0], 2] > points[chain[-1], 2] + 15  # from the face to its rim
        if number != 8:
            side = -1 if number < 8 else 1
            assert (points[chain, 0] * side > 0).all()


def test_means_share_the_origin_and_differ_in_shape():
    assert len(mean_names()) == 13
    average = load_makehuman("4k")
    stack = np.stack([load_makehuman("4k", mean).mean_shape for mean in mean_names()[1:]])
    np.testing.assert_allclose(stack.mean(axis=0), average.mean_shape, atol=0.01)
    corners = stack[:, average.landmark_vertices[[36, 45]]].mean(axis=1)
    np.testing.assert_allclose(corners, np.tile([0, 0, 60], (12, 1)), atol=0.02)
    distance = np.linalg.norm(stack[:, None] - stack[None], axis=3)[..., average.regions["face"]]
    assert (distance.mean(axis=2)[~np.eye(12, dtype=bool)] > 1).all()


def test_identity_assets_pair_opposite_targets():
    assets = load_identity_assets("4k")
    displacements, opposite = assets.target_displacements, assets.target_opposites
    assert displacements.shape == (len(assets.target_names), 4069, 3)
    assert len(set(assets.target_names)) == len(assets.target_names) > 200
    paired = np.flatnonzero(opposite >= 0)
    np.testing.assert_array_equal(opposite[opposite[paired]], paired)
    wide, narrow = (assets.target_names.index(f"nose-scale-horiz-{e}") for e in ("incr", "decr"))
    assert opposite[wide] == narrow
    assert (displacements[wide] * displacements[narrow]).sum() < 0
    assert set(assets.target_groups) >= {"nose", "mouth", "eyes", "chin", "asym"}
    assert (np.abs(displacements).max(axis=(1, 2)) > 0.1).all()


def test_accessories_fit_in_the_head_and_follow_it(template):
    parts = {a.name: a for a in load_identity_assets("4k").accessories}
    points = landmarks(template)
    for name, eye in (("eye_left", LEFT_EYE), ("eye_right", RIGHT_EYE)):
        centre = parts[name].mean_shape.mean(axis=0)
        np.testing.assert_allclose(centre[:2], points[eye].mean(axis=0)[:2], atol=3)
        assert 20 < np.ptp(parts[name].mean_shape[:, 0]) < 32
    jaw = template.blendshape_names.index("jawOpen")
    assert parts["teeth_lower"].blendshapes[jaw, :, 1].max() < -5
    assert np.abs(parts["teeth_upper"].blendshapes[jaw]).max() < 0.1
    look = template.blendshape_names.index("eyeLookOutLeft")
    pole = parts["eye_left"].mean_shape[:, 2].argmax()
    assert parts["eye_left"].blendshapes[look, pole, 0] > 1


def test_loads_by_name():
    assert load_template("makehuman") is load_makehuman(mean="average") is load_makehuman()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("makehuman", "5k"), "resolution '5k' is unknown; one of 4k, 16k, 60k"),
        (("makehuman", "4k", "martian"), "mean 'martian' is unknown; one of average, cauc"),
    ],
)
def test_names_what_is_unknown(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_template(*arguments)


def test_refuses_files_that_are_no_template(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mat"):
        load_template(str(tmp_path / "nothing.mat"))
    (tmp_path / "face.docx").touch()
    with pytest.raises(ValueError, match=r"face\.docx"):
        load_template(str(tmp_path / "face.docx"))
