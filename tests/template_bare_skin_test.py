"""The region of bare skin on the open template; `template_readers_test.py` has the others."""

import dataclasses

import numpy as np
import pytest

from fml_tf.synthesis.canvas import Canvas
from fml_tf.synthesis.skin import SkinPainter, sample_skin_style
from fml_tf.template.bare_skin import bare_skin
from fml_tf.template.makehuman import load_identity_assets, load_makehuman, mean_names

RESOLUTIONS = ("4k", "16k", "60k")


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_bare_skin_is_a_symmetric_part_of_the_skin(resolution):
    template = load_makehuman(resolution)
    bare = bare_skin(template)
    assert bare.shape == (template.num_vertices,) and bare.dtype == bool
    assert not (bare & ~template.regions["skin"]).any()
    for region in ("lips", "brows", "eyelids"):
        assert not (bare & template.regions[region]).any()
    right, left = (np.sort(sign * template.mean_shape[bare, 0]) for sign in (1, -1))
    np.testing.assert_allclose(right, left, atol=1e-3)
    assert 0.3 < bare.sum() / template.regions["face"].sum() < 0.5


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_bare_skin_is_cheeks_nose_and_forehead(resolution):
    template = load_makehuman(resolution)
    face = np.flatnonzero(template.regions["face"])
    bare, landmarks = bare_skin(template), template.mean_shape[template.landmark_vertices]

    def at(place):
        return bare[face[np.linalg.norm(template.mean_shape[face] - place, axis=1).argmin()]]

    brows = landmarks[[21, 22]].mean(axis=0)
    assert at(landmarks[30]) and at(landmarks[27]) and at(brows + [0, 25, 0])
    for eye, ear, corner in ((36, 0, 48), (45, 16, 54)):
        assert at(landmarks[eye] - [0, 20, 0])
        assert not at(landmarks[ear] - [0, 15, 0])
        assert not at(landmarks[corner])
    upper_lip = landmarks[[33, 51]].mean(axis=0)
    assert not at(landmarks[8]) and not at(landmarks[57] - [0, 12, 0]) and not at(upper_lip)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_no_beard_is_painted_on_bare_skin(resolution):
    template = load_makehuman(resolution)
    canvas = Canvas(load_makehuman().mean_shape, load_identity_assets().feature_points)
    painter = SkinPainter(canvas)
    shaven = dataclasses.replace(
        sample_skin_style(np.random.default_rng(0), 0.2, 1.0, 0.5),
        hair_colour=np.zeros(3),
        beard=0.0,
        moustache=0.0,
        stubble=0.0,
        baldness=1.0,
    )
    bearded = dataclasses.replace(shaven, beard=1.0, moustache=1.0)
    # A beard draws from the generator last but for brows and hair of the head.
    textures = [painter.paint(style, np.random.default_rng(1)) for style in (shaven, bearded)]
    points = canvas.points_of(template.mean_shape)
    before, after = (canvas.sample(texture, points) for texture in textures)
    below_brows = points[:, 1] < canvas.landmarks[17:27, 1].min() - 5
    share = 1 - after[:, 0] / before[:, 0]
    skin, bare = template.regions["skin"] & below_brows, bare_skin(template) & below_brows
    assert share[skin & ~bare].mean() > 0.5
    assert np.quantile(share[bare], 0.99) < 0.05 and share[bare].max() < 0.1


def test_bare_skin_is_found_on_every_mean():
    areas = [bare_skin(load_makehuman("4k", mean)).sum() for mean in mean_names()]
    assert max(areas) < 1.15 * min(areas)
