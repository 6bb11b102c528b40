"""Registration of a template to scans whose correspondence is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_tf.geometry.alignment import Similarity
from fml_tf.geometry.nonrigid_registration import Scan, register
from fml_tf.geometry.surface import Surface
from fml_tf.template.makehuman import load_makehuman


def relief(x, y):
    """A hilly surface of 100 by 100 mm, some 20 mm high."""
    height = 12.0 * np.cos(x / 14.0) * np.cos(y / 17.0) + 10.0 * np.exp(-(x**2 + y**2) / 400.0)
    return np.stack([x, y, height], axis=-1)


def grid(count):
    """Places [count², 2] in [-50, 50]² and triangles that look along +z."""
    places = np.stack(np.meshgrid(*[np.linspace(-50, 50, count)] * 2), axis=-1).reshape(-1, 2)
    number = np.arange(count * count).reshape(count, count)
    a, b, c, d = (
        number[rows, columns].reshape(-1)
        for rows in (slice(-1), slice(1, None))
        for columns in (slice(-1), slice(1, None))
    )
    return places, np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def deform(points):
    """A smooth change of some 5 mm."""
    x, y, _ = np.moveaxis(points, -1, 0)
    change = [2.0 * np.sin(y / 30.0), 2.0 * np.sin(x / 35.0), 4.0 * np.cos((x + y) / 40.0)]
    return points + np.stack(change, axis=-1)


COUNT = 17
PLACES, TRIANGLES = grid(COUNT)
TEMPLATE = relief(*PLACES.T)
TRUTH = deform(TEMPLATE)
ATTACHED = np.ones(len(TEMPLATE), bool)
MARKS = np.array(
    [row * COUNT + column for row, column in ((2, 2), (2, 14), (14, 2), (14, 14), (8, 8))]
)
SCAN_PLACES, SCAN_TRIANGLES = grid(45)  # no multiple of the template's
SCAN_VERTICES = deform(relief(*SCAN_PLACES.T))
INSIDE = (np.abs(PLACES) < 45).all(axis=1)


@pytest.fixture(scope="module")
def plain():
    """The registration to the plain scan."""
    return registered()


def registered(vertices=SCAN_VERTICES, triangles=SCAN_TRIANGLES, marks=TRUTH):
    return register(TEMPLATE, TRIANGLES, ATTACHED, Scan(vertices, triangles), (MARKS, marks[MARKS]))


def errors(points, where, truth=TRUTH):
    return np.linalg.norm(points - truth, axis=1)[where]


def test_a_smooth_deformation_is_found_at_another_tessellation(plain):
    found = errors(plain, INSIDE)
    assert np.isfinite(found).all()
    assert found.mean() < 0.5 and found.max() < 1.5
    assert errors(TEMPLATE, INSIDE).mean() > 3.0  # what there was to find


def test_a_turned_and_scaled_scan_gives_the_same(plain):
    move = Similarity(
        1.2, Rotation.from_rotvec([0.4, -0.8, 0.3]).as_matrix(), np.array([100.0, -30, 7])
    )
    moved = registered(move.apply(SCAN_VERTICES), marks=move.apply(TRUTH))
    difference = np.linalg.norm(moved - move.apply(plain), axis=1)[INSIDE]
    assert difference.max() < 0.5


def test_repeated_vertices_are_no_border(plain):
    split = SCAN_VERTICES[SCAN_TRIANGLES].reshape(-1, 3)
    triangles = np.arange(len(split)).reshape(-1, 3)
    np.testing.assert_allclose(registered(split, triangles), plain, atol=1e-6)


def test_a_hole_has_no_points_and_does_not_drag_its_surroundings():
    middle = SCAN_PLACES[SCAN_TRIANGLES].mean(axis=1) - (20.0, -10.0)
    holed = registered(triangles=SCAN_TRIANGLES[np.linalg.norm(middle, axis=1) > 12.0])
    away = np.linalg.norm(PLACES - (20.0, -10.0), axis=1)
    assert np.isnan(holed[away < 8.0]).all()
    around = INSIDE & (away > 18.0)
    assert np.isfinite(holed[around]).all() and errors(holed, around).mean() < 0.5


def test_outliers_do_not_drag():
    rng = np.random.default_rng(0)
    spiked = SCAN_VERTICES.copy()
    spikes = rng.choice(len(spiked), len(spiked) // 50, replace=False)
    spiked[spikes, 2] += rng.uniform(20, 60, len(spikes))
    found = errors(registered(spiked), INSIDE)
    assert np.nanmean(found) < 0.7 and np.isfinite(found).mean() > 0.75


def test_what_is_not_attached_gets_no_points():
    attached = PLACES[:, 0] > -40
    scan = Scan(SCAN_VERTICES, SCAN_TRIANGLES)
    points = register(TEMPLATE, TRIANGLES, attached, scan, (MARKS, TRUTH[MARKS]))
    assert np.isnan(points[~attached]).all()
    assert errors(points, INSIDE & attached).mean() < 0.7


def test_a_scan_of_something_else_is_refused():
    far = SCAN_VERTICES * (0.2, 0.2, 0.2)
    with pytest.raises(ValueError, match="have a place on the scan"):
        registered(far)


@pytest.mark.large
def test_a_smile_on_another_head_is_found():
    """Measured: heads 7.8 mm apart are 1.95 mm apart, 0.03 mm of it across the surface.

    Before the population followed anthropometry the same heads were more alike, and it was 1.4 mm.
    """
    template, head = load_makehuman("4k"), load_makehuman("16k", "asian-female-young")
    names = head.blendshape_names
    smile = head.blendshapes[[names.index(f"mouthSmile{side}") for side in ("Left", "Right")]]
    scan = head.mean_shape + 0.8 * smile.sum(axis=0)
    face = template.regions["face"]
    marks = template.landmark_vertices[[8, 17, 21, 22, 26, 33, 36, 39, 42, 45, *range(48, 66)]]
    triangles = head.triangles[head.regions["face"][head.triangles].all(axis=1)]
    points = register(
        template.mean_shape, template.triangles, face, Scan(scan, triangles), (marks, scan[marks])
    )
    found = errors(points, face, scan[: len(points)])
    assert np.isfinite(found).sum() > 0.7 * face.sum() and np.nanmean(found) < 2.1
    placed = points[face][np.isfinite(points[face]).all(axis=1)]
    assert Surface(scan, triangles).closest(placed).distances.mean() < 0.2
