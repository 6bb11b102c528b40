"""The parts of the synthetic data: canvas, skin, light, expressions, detector."""

import numpy as np
import pytest
import scipy.stats

from fml_tf.rendering.illumination import ambient_illumination, spherical_harmonics
from fml_tf.synthesis.canvas import Canvas
from fml_tf.synthesis.detector import detect
from fml_tf.synthesis.expression import sample_expression
from fml_tf.synthesis.picture import (
    Development,
    degrade,
    sample_background,
    sample_development,
    sample_occluder,
)
from fml_tf.synthesis.scene import Light, sample_lights, sample_poses
from fml_tf.synthesis.skin import SkinPainter, sample_skin_style, skin_colour
from fml_tf.template.makehuman import load_identity_assets, load_makehuman


@pytest.fixture(scope="module")
def canvas():
    template = load_makehuman("4k")
    return Canvas(template.mean_shape, load_identity_assets().feature_points)


def test_canvas_returns_what_was_painted_at_a_point(canvas):
    coordinates = np.stack([canvas.grid_s, canvas.grid_y], axis=-1)
    points = np.random.default_rng(0).uniform((-190, -140), (190, 140), (300, 2))
    # cv2.remap interpolates in steps of 1/32 pixel.
    np.testing.assert_allclose(canvas.sample(coordinates, points), points, atol=0.03)


def test_canvas_polygon_has_the_area_of_its_corners(canvas):
    mask = canvas.polygon(np.array([[-20.0, 0], [40, 0], [40, 30], [-20, 30]]))
    pixel_area = np.diff(canvas.grid_s[0, :2])[0] ** 2
    assert mask.sum() * pixel_area == pytest.approx(60 * 30, rel=0.05)


def test_left_of_the_person_is_right_on_the_canvas(canvas):
    assert canvas.landmarks[45, 0] > 20 > -20 > canvas.landmarks[36, 0]


def test_skin_darkens_with_melanin_and_reddens_with_blood():
    by_melanin = skin_colour(np.linspace(0, 1, 30), np.zeros(30))
    assert (np.diff(by_melanin, axis=0) < 0).all()
    redness = [float(c[0] / c[1]) for c in skin_colour(np.full(3, 0.3), np.array([-1, 0, 1]))]
    assert redness[0] < redness[1] < redness[2]


def test_painted_albedo_is_a_colour_and_depends_on_the_style(canvas):
    painter = SkinPainter(canvas)
    means = []
    for melanin in (0.0, 1.0):
        rng = np.random.default_rng(1)
        albedo = painter.paint(sample_skin_style(rng, melanin, 0.5, 0.5), rng)
        assert albedo.shape == (*canvas.shape, 3) and albedo.dtype == np.float32
        assert albedo.min() >= 0 and albedo.max() <= 1
        cheek = canvas.landmarks[[2, 31]].mean(axis=0, keepdims=True)
        means.append(canvas.sample(albedo, cheek).mean())
    assert means[0] > means[1] + 0.3


def test_a_fringe_hangs_from_the_hairline_and_not_over_the_eyes(canvas):
    painter, rng = SkinPainter(canvas), np.random.default_rng(0)
    style = sample_skin_style(rng, melanin=0.2, masculinity=0.2, age=0.3)
    bare = painter.paint(style, rng)
    brows = canvas.landmarks[17:27, 1].mean()
    forehead = (np.abs(canvas.grid_s) < 30) & (canvas.grid_y > brows + 28)
    forehead &= canvas.grid_y < brows + style.hairline - 8
    below = canvas.grid_y < brows - 16
    changes = [np.abs(painter.with_fringe(bare, style, rng) - bare).sum(axis=2) for _ in range(8)]
    for change in changes:
        assert change[below].max() < 0.05
        assert (change[forehead] > 0.05).mean() > 0.3
    assert np.abs(changes[0] - changes[1]).max() > 0.3


def test_a_camera_changes_colours_and_no_order():
    ramp = np.linspace(-0.1, 1.2, 20, dtype=np.float32)[:, None, None] * np.array([1.0, 0.8, 0.6])
    ramp = ramp.astype(np.float32)
    np.testing.assert_allclose(Development(1.0, 1.0).apply(ramp), np.clip(ramp, 0, 1), atol=1e-6)
    grey = Development(1.2, 0.0).apply(ramp)
    np.testing.assert_allclose(grey, grey[..., :1].repeat(3, axis=2), atol=1e-6)
    assert (np.diff(grey[:, 0, 0]) >= 0).all()
    drawn = [sample_development(np.random.default_rng(seed)) for seed in range(300)]
    assert 0 < np.mean([development.saturation == 0 for development in drawn]) < 0.08
    assert 0.9 < np.median([development.gamma for development in drawn]) < 1.1


def test_illumination_is_the_nine_band_projection_of_the_light():
    light = Light(
        0.3 * ambient_illumination(), np.array([0.6, 0.0, 0.8], np.float32), np.ones(3, np.float32)
    )
    normals = np.random.default_rng(2).standard_normal((4000, 3, 1)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    shading = spherical_harmonics(normals).numpy()[..., 0] @ light.illumination
    exact = 0.3 + np.maximum(normals[..., 0] @ light.key_direction, 0)
    # Nine bands hold 99 % of a clamped cosine's energy [Ramamoorthi and Hanrahan 2001].
    energy = np.mean((exact - 0.3) ** 2)
    assert np.mean((shading[:, 0] - exact) ** 2) < 0.01 * energy


def test_poses_stay_in_range_and_keep_the_centre_in_view():
    rng = np.random.default_rng(3)
    centre = np.array([0.0, -35, 60])
    for _ in range(20):
        for pose in sample_poses(rng, 4, 1000.0, centre, spread=6.0):
            assert np.linalg.norm(pose.rotation) < np.radians(75)
            at = pose.apply(centre)
            assert 900 < -at[2] < 1100 and np.abs(at[:2]).max() < 40


def test_frames_of_a_clip_share_the_light_direction():
    lights = sample_lights(np.random.default_rng(4), 6)
    directions = np.stack([light.key_direction for light in lights])
    assert (directions @ directions[0] > np.cos(np.radians(30))).all()


def test_expressions_are_sparse_activations():
    names = load_makehuman("4k").blendshape_names
    rng = np.random.default_rng(5)
    draws = np.stack([sample_expression(rng, names) for _ in range(300)])
    assert draws.dtype == np.float32 and draws.min() >= 0 and draws.max() <= 1
    assert np.mean(np.sum(draws > 0.02, axis=1)) < 16
    smile, frown = names.index("mouthSmileLeft"), names.index("mouthFrownLeft")
    assert draws[:, smile].max() > 0.5 and draws[:, frown].max() > 0.5
    assert not ((draws[:, smile] > 0) & (draws[:, frown] > 0)).any()
    inwards, other = names.index("eyeLookInLeft"), names.index("eyeLookInRight")
    assert not ((draws[:, inwards] > 0) & (draws[:, other] > 0)).any()


def test_detector_confidence_tells_of_the_error():
    rng = np.random.default_rng(6)
    truth = rng.uniform(40, 200, (66, 2))
    occluded = np.arange(66) % 3 == 0
    errors, confidences = [], []
    for _ in range(80):
        noisy, confidence = detect(truth, occluded, 240.0, rng)
        errors.append(np.linalg.norm(noisy - truth, axis=1))
        confidences.append(confidence)
    errors, confidences = np.array(errors), np.array(confidences)
    assert confidences.min() > 0 and confidences.max() <= 1
    assert scipy.stats.spearmanr(errors.ravel(), confidences.ravel()).statistic < -0.5
    assert confidences[:, occluded].mean() < confidences[:, ~occluded].mean() - 0.05
    assert 0.5 < np.median(errors[:, ~occluded]) < 1.5


def test_detector_noise_is_relative_to_the_crop():
    truth = np.zeros((66, 2))
    occluded = np.zeros(66, bool)
    small, _ = detect(truth, occluded, 240.0, np.random.default_rng(7))
    large, _ = detect(truth, occluded, 480.0, np.random.default_rng(7))
    np.testing.assert_allclose(large, 2 * small)


def test_pictures_are_in_range():
    rng = np.random.default_rng(8)
    for _ in range(8):
        background = sample_background(rng, 96)
        assert background.shape == (96, 96, 3) and 0 <= background.min() <= background.max() <= 1
        opacity, colours = sample_occluder(rng, 96, np.array([48.0, 48]), 60.0)
        assert opacity.min() >= 0 and 0.9 < opacity.max() <= 1 and colours.shape == (96, 96, 3)
        degraded = degrade(background, rng)
        assert degraded.shape == (96, 96, 3) and degraded.dtype == np.uint8
        assert np.abs(degraded / 255.0 - background).mean() < 0.1
