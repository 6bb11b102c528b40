"""Eyes, teeth and tongue of the open template follow the face that they belong to."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_tf.template.inner_parts import inner_parts
from fml_tf.template.makehuman import load_identity_assets, load_makehuman

EYES, EYE = 2 * 1122, 1122


@pytest.mark.parametrize(("resolution", "mean"), [("4k", "average"), ("16k", "asian-female-old")])
def test_on_the_mean_face_they_are_where_makehuman_has_them(resolution, mean):
    template = load_makehuman(resolution, mean)
    parts = inner_parts(template.mean_shape, template)
    eye = load_identity_assets("60k").accessories[0]
    expected = eye.mean_shape if mean == "average" else eye.means[mean]
    np.testing.assert_allclose(parts.vertices[:EYE], expected, atol=1e-3)
    assert parts.blendshapes.shape == (52, *parts.vertices.shape)
    assert parts.triangles.min() >= 0 and parts.triangles.max() == len(parts.vertices) - 1
    assert parts.albedo.min() >= 0 and parts.albedo.max() <= 1


def test_a_face_that_is_moved_and_scaled_takes_them_along():
    template = load_makehuman()
    still = inner_parts(template.mean_shape, template)
    turn = Rotation.from_rotvec([0.1, 0.3, -0.2]).as_matrix()
    moved = 1.1 * template.mean_shape @ turn.T + [5, -3, 20]
    parts = inner_parts(moved, template)
    np.testing.assert_allclose(
        parts.vertices, 1.1 * still.vertices @ turn.T + [5, -3, 20], atol=0.01
    )
    np.testing.assert_allclose(parts.blendshapes, 1.1 * still.blendshapes @ turn.T, atol=0.01)


def test_each_eye_lies_behind_its_own_lids_and_looks_ahead():
    template, assets = load_makehuman(), load_identity_assets()
    person = assets.means["african-male-young"]
    parts = inner_parts(person, template)
    dark = parts.albedo[:EYES].sum(axis=1) < 0.3  # the pupils
    for side, rows in ((1, slice(0, EYE)), (-1, slice(EYE, EYES))):
        lids = person[template.regions["eyelids"] & (side * person[:, 0] > 0)]
        eye, pupil = parts.vertices[rows], parts.vertices[rows][dark[rows]]
        assert np.abs(eye.mean(axis=0) - lids.mean(axis=0))[:2].max() < 4
        assert eye[:, 2].max() < lids[:, 2].max()
        assert pupil[:, 2].min() > eye[:, 2].max() - 1.5
        assert np.abs(pupil.mean(axis=0) - eye.mean(axis=0))[:2].max() < 1


def test_they_move_by_the_blendshapes_of_the_template():
    template = load_makehuman()
    parts = inner_parts(template.mean_shape, template)
    moved = dict(zip(template.blendshape_names, np.abs(parts.blendshapes).max(axis=2)))
    left, right = slice(0, EYE), slice(EYE, EYES)
    assert moved["eyeLookOutLeft"][left].max() > 1 and not moved["eyeLookOutLeft"][right].any()
    assert moved["jawOpen"][EYES:].max() > 5 and not moved["jawOpen"][:EYES].any()
    assert not moved["browInnerUp"].any()


def test_other_templates_have_none():
    template = dataclasses.replace(load_makehuman(), name="bfm")
    assert inner_parts(template.mean_shape, template) is None
