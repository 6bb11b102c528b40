import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from fml_tf.evaluation.measures import (
    landmark_error,
    mean,
    per_vertex,
    point_to_plane,
    point_to_point,
    rms,
)
from fml_tf.evaluation.statistics import compare, summarise
from fml_tf.geometry.alignment import Similarity, procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface, vertex_areas


def lumpy_head(subdivisions=3):
    """A closed, asymmetric, head-sized surface without any symmetry."""
    mesh = trimesh.creation.icosphere(subdivisions)
    x, y, z = mesh.vertices.T
    radius = 80 + 9 * np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) * 6) * (z > 0)
    radius += 5 * x * y + 4 * y * z**2 + 6 * x**3 + 3 * z * x
    return mesh.vertices * radius[:, None] * [0.9, 1.2, 1.0], mesh.faces


def grid(size=9, step=10.0):
    """A flat square in z = 0 of size · size vertices, centred."""
    along = step * (np.arange(size) - (size - 1) / 2)
    x, y = np.meshgrid(along, along)
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).reshape(-1)
    quads = np.stack([corner, corner + 1, corner + size + 1, corner + size], axis=1)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def known(rng):
    rotation = Rotation.from_rotvec([0.15, -0.1, 0.12]).as_matrix()
    return Similarity(1.06, rotation, np.array([4.0, -6.0, 3.0]))


def assert_same(found, known, atol=1e-6):
    assert found.scale == pytest.approx(known.scale, abs=atol)
    np.testing.assert_allclose(found.rotation, known.rotation, atol=atol)
    np.testing.assert_allclose(found.translation, known.translation, atol=100 * atol)


def test_nearest_points_are_those_of_an_exhaustive_search(rng):
    vertices, triangles = lumpy_head(1)
    # Very uneven: parts of the mesh are split finely, and a few triangles are huge.
    vertices, triangles = trimesh.remesh.subdivide(vertices, triangles, np.arange(20))
    vertices, triangles = trimesh.remesh.subdivide(vertices, triangles, np.arange(20))
    points = rng.normal(scale=90, size=(200, 3))
    found = Surface(vertices, triangles).closest(points)
    every = trimesh.triangles.closest_point(
        np.tile(vertices[triangles], (len(points), 1, 1)), np.repeat(points, len(triangles), 0)
    ).reshape(len(points), -1, 3)
    distances = np.linalg.norm(every - points[:, None], axis=-1)
    np.testing.assert_allclose(found.distances, distances.min(axis=1), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.points - points, axis=1), found.distances)
    rows = np.arange(len(points))
    np.testing.assert_allclose(distances[rows, found.triangles], found.distances, atol=1e-9)


def test_triangles_without_area_are_left_out():
    vertices, triangles = grid()
    triangles = np.concatenate([[[0, 0, 5]], triangles])
    found = Surface(vertices, triangles).closest([[1.0, 2.0, 3.0]])
    assert found.distances[0] == pytest.approx(3.0) and found.triangles[0] > 0


def test_icp_recovers_a_known_similarity(known):
    vertices, triangles = lumpy_head()
    points = known.apply(vertices)
    assert_same(fit_surface(Surface(vertices, triangles), points), known)


def test_icp_recovers_a_rigid_motion_and_keeps_the_scale(known):
    rigid = Similarity(1.0, known.rotation, known.translation)
    vertices, triangles = lumpy_head()
    surface = Surface(vertices, triangles)
    assert_same(fit_surface(surface, rigid.apply(vertices), with_scale=False), rigid)
    kept = fit_surface(surface, known.apply(vertices), with_scale=False)
    assert kept.scale == 1.0


def test_outliers_do_not_move_the_fit(rng, known):
    vertices, triangles = lumpy_head()
    points = known.apply(vertices)
    chosen = rng.choice(len(points), len(points) // 20, replace=False)
    points[chosen] += rng.normal(scale=40, size=(len(chosen), 3)) + [0, 60, 0]
    surface = Surface(vertices, triangles)
    assert_same(fit_surface(surface, points), known)
    # Least squares, as some protocols ask, is moved by them.
    assert abs(fit_surface(surface, points, robust=False).scale - known.scale) > 1e-3


def test_icp_does_not_depend_on_the_tessellation_of_the_surface(rng, known):
    vertices, triangles = lumpy_head(2)
    points = known.apply(vertices) + rng.normal(scale=0.5, size=vertices.shape)
    coarse = fit_surface(Surface(vertices, triangles), points)
    fine = fit_surface(Surface(*trimesh.remesh.subdivide(vertices, triangles)), points)
    assert_same(fine, coarse, atol=1e-6)


def test_a_part_of_a_scan_suffices(known):
    vertices, triangles = lumpy_head()
    points = known.apply(vertices[vertices[:, 2] > 10])
    assert_same(fit_surface(Surface(vertices, triangles), points), known)


def test_a_sphere_leaves_the_rotation_alone():
    sphere = trimesh.creation.icosphere(3)
    surface = Surface(sphere.vertices, sphere.faces)
    found = fit_surface(surface, 1.1 * sphere.vertices + [0.1, 0, 0])
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(found.translation, [0.1, 0, 0], atol=1e-4)
    assert found.scale == pytest.approx(1.1, abs=1e-4)


def test_a_reflected_mesh_is_not_matched():
    vertices, triangles = lumpy_head()
    mirrored = vertices * [-1, 1, 1]
    surface = Surface(mirrored, triangles[:, ::-1])
    fit = fit_surface(surface, vertices)
    assert np.linalg.det(fit.rotation) == pytest.approx(1)
    assert rms(point_to_point(fit.apply_inverse(vertices), surface)) > 1.0
    assert rms(per_vertex(mirrored, vertices)) > 10.0


def test_a_mesh_against_itself_scores_zero():
    vertices, triangles = lumpy_head()
    surface = Surface(vertices, triangles)
    for distances in [
        per_vertex(vertices, vertices),
        point_to_point(vertices, surface),
        point_to_plane(vertices, surface),
    ]:
        assert distances.max() < 1e-9


def test_a_shifted_plane_scores_its_shift():
    vertices, triangles = grid()
    surface = Surface(vertices, triangles)
    shifted = vertices + [0, 0, 2.5]
    np.testing.assert_allclose(point_to_point(shifted, surface), 2.5, atol=1e-12)
    np.testing.assert_allclose(point_to_plane(shifted, surface), 2.5, atol=1e-12)
    # Beside the border the surface ends and its plane goes on.
    beside = [[45.0, 0.0, 2.0]]
    assert point_to_point(beside, surface)[0] == pytest.approx(np.hypot(5, 2))
    assert point_to_plane(beside, surface)[0] == pytest.approx(2)


def test_distances_do_not_depend_on_the_tessellation(rng):
    vertices, triangles = lumpy_head(2)
    points = rng.normal(scale=80, size=(300, 3))
    coarse = Surface(vertices, triangles)
    fine = Surface(*trimesh.remesh.subdivide(vertices, triangles))
    np.testing.assert_allclose(
        point_to_point(points, fine), point_to_point(points, coarse), atol=1e-9
    )


def test_areas_as_weights_make_a_mean_independent_of_the_scans_tessellation():
    vertices, triangles = grid(41, 2.0)
    height = Surface(*grid(2, 100.0))
    bumpy = vertices + np.stack([0 * vertices[:, 0]] * 2 + [vertices[:, 0] ** 2 / 100], axis=1)
    # One half is split twice as finely: the plain mean moves, the weighted one does not.
    half = np.flatnonzero(vertices[triangles][:, :, 0].mean(axis=1) > 20)
    finer, split = trimesh.remesh.subdivide(bumpy, triangles, half)
    finer, split = trimesh.remesh.subdivide(
        finer, split, np.flatnonzero(finer[split][:, :, 0].mean(axis=1) > 20)
    )
    coarse = point_to_point(bumpy, height)
    fine = point_to_point(finer, height)
    assert abs(mean(fine) - mean(coarse)) > 1.0
    weighted = mean(fine, vertex_areas(finer, split))
    assert weighted == pytest.approx(mean(coarse, vertex_areas(bumpy, triangles)), rel=2e-3)
    assert vertex_areas(vertices, triangles).sum() == pytest.approx(80.0**2)


def test_per_vertex_removes_a_similarity_and_only_with_scale_its_size(known):
    vertices, _ = lumpy_head()
    assert per_vertex(known.apply(vertices), vertices).max() < 1e-9
    size = np.linalg.norm(vertices - vertices.mean(axis=0), axis=1)
    expected = 0.06 * rms(size)
    assert rms(per_vertex(known.apply(vertices), vertices, False)) == pytest.approx(expected)


def test_landmark_errors_and_their_root_mean_square():
    assert landmark_error([[0.0, 0.0], [3.0, 4.0]], np.zeros((2, 2))).tolist() == [0.0, 5.0]
    assert rms(np.array([3.0, 4.0])) == pytest.approx(np.sqrt(12.5))


def test_the_mean_of_a_normal_sample_lies_in_its_interval_95_of_100_times(rng):
    hits = 0
    for trial in range(60):
        low, high = summarise(rng.normal(2.0, 1.0, 40), seed=trial).interval
        hits += low < 2.0 < high
    assert 52 <= hits <= 60


def test_summary_figures():
    summary = summarise([1.0, 2.0, 6.0], seed=0)
    assert (summary.mean, summary.median, summary.n) == (3.0, 2.0, 3)
    assert summary.sd == pytest.approx(np.sqrt(7))
    assert summary == summarise([1.0, 2.0, 6.0], seed=0)
    assert summarise([4.0], seed=0).interval is None


def test_cases_of_one_person_count_as_one(rng):
    people = rng.normal(2.0, 1.0, 12)
    single = summarise(people, seed=0)
    tripled = summarise(np.repeat(people, 3), seed=0, people=np.repeat(np.arange(12), 3))
    assert tripled.interval == pytest.approx(single.interval)
    low, high = summarise(np.repeat(people, 3), seed=0).interval
    assert high - low < 0.7 * (single.interval[1] - single.interval[0])
    # One person cannot tell how much people differ.
    assert summarise([1.0, 2.0], seed=0, people=["a", "a"]).interval is None
    pairs = compare([1.0, 1.0, 2.0, 3.0], np.zeros(4), seed=0, people=["a", "a", "b", "c"])
    assert pairs.p_value == pytest.approx(2 / 8) and pairs.difference == 1.75 and pairs.n == 4


def test_paired_comparison(rng):
    # All 2³ flips: only the two with all signs alike are as far from zero.
    assert compare([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], seed=0).p_value == pytest.approx(2 / 8)
    theirs = rng.normal(10, 5, 50)
    better = compare(theirs - 0.5 + rng.normal(0, 0.5, 50), theirs, seed=0)
    assert better.p_value < 0.01 and better.interval[1] < 0 and better.n == 50
    same = compare(theirs + rng.normal(0, 0.5, 50), theirs, seed=0)
    assert same.p_value > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: summarise([], 0), "finite numbers"),
        (lambda: summarise([1.0, np.nan], 0), "finite numbers"),
        (lambda: compare([1.0], [1.0, 2.0], 0), "not pairs"),
        (lambda: Surface(np.zeros((3, 3)), [[0, 1, 2]]), "no triangle with an area"),
        (lambda: Surface(np.full((3, 3), np.nan), [[0, 1, 2]]), "finite"),
        (lambda: Surface(*grid()).closest([[0, 0, np.inf]]), "finite"),
        (lambda: fit_surface(Surface(*grid()), np.zeros((3, 3))), "4 or more"),
        (lambda: fit_surface(Surface(*grid()), np.eye(4, 3), weights=-np.ones(4)), "weights"),
        (lambda: procrustes(np.eye(3), np.eye(4, 3)), "must both be"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
