import cv2
import numpy as np
import pytest

from fml_tf.geometry.crop import CropTransform, crop_box, crop_image


def _face_points(low=(100.0, 120.0), high=(260.0, 300.0), seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(low, high, (66, 2))
    points[:2] = low, high
    return points


def test_apply_and_invert_are_inverse_and_agree_with_the_matrix():
    transform = CropTransform(left=-13, top=41, source_width=317, size=240)
    points = np.random.default_rng(1).uniform(-50, 400, (5, 7, 2))
    mapped = transform.apply(points)
    np.testing.assert_allclose(transform.invert(mapped), points, atol=1e-10)
    homogeneous = np.concatenate([points, np.ones((5, 7, 1))], axis=-1)
    np.testing.assert_allclose(homogeneous @ transform.matrix.T, mapped, atol=1e-10)
    np.testing.assert_allclose(transform.apply([[-13, 41], [304, 358]]), [[0, 0], [240, 240]])


def test_crop_box_is_a_square_of_margin_times_the_larger_side_with_room_for_the_forehead():
    points = _face_points()
    transform = crop_box(points, margin=1.5)
    assert transform.source_width == 270 and transform.size == 240
    mapped = transform.apply(points)
    above, below = mapped[:, 1].min(), 240 - mapped[:, 1].max()
    assert above == pytest.approx(0.35 / 1.5 * 240, abs=1)
    assert below == pytest.approx(0.15 / 1.5 * 240, abs=1)
    assert mapped[:, 0].min() == pytest.approx(240 - mapped[:, 0].max(), abs=1)


def test_crop_box_moves_and_grows_with_the_points():
    points = _face_points()
    shifted, doubled = crop_box(points + np.array([30, -17])), crop_box(2 * points)
    base = crop_box(points)
    assert (shifted.left - base.left, shifted.top - base.top) == (30, -17)
    assert doubled.source_width == 2 * base.source_width


@pytest.mark.parametrize("bad", [np.full((66, 2), np.nan), np.ones((66, 2))])
def test_crop_box_refuses_points_without_extent(bad):
    with pytest.raises(ValueError, match="landmarks"):
        crop_box(bad)


@pytest.mark.parametrize("width", [120, 240, 600])
def test_a_blob_lands_where_the_transform_says(width):
    # A blob's centre of mass is known to a fraction of a pixel: this fixes the pixel-centre rule.
    yy, xx = np.mgrid[:700, :800] + 0.5
    centre = np.array([310.0, 90.0]) + 0.4 * width + np.array([0.3, 0.8])
    blob = np.exp(-((xx - centre[0]) ** 2 + (yy - centre[1]) ** 2) / (2 * (width / 25) ** 2))
    transform = CropTransform(left=310, top=90, source_width=width, size=240)
    crop = crop_image(blob[..., None].astype(np.float32), transform).reshape(240, 240)
    v, u = np.mgrid[:240, :240] + 0.5
    found = np.array([(u * crop).sum(), (v * crop).sum()]) / crop.sum()
    np.testing.assert_allclose(found, transform.apply(centre), atol=0.02)


def test_shrinking_does_not_alias():
    checks = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, axis=-1)
    crop = crop_image(image, CropTransform(0, 0, 960, 240))
    assert crop.dtype == np.uint8 and np.abs(crop.astype(int) - 128).max() <= 1


def test_beyond_the_border_the_border_is_repeated():
    image = np.zeros((50, 60, 3), np.uint8)
    image[:, -1] = (9, 8, 7)
    crop = crop_image(image, CropTransform(left=50, top=5, source_width=40, size=40))
    np.testing.assert_array_equal(crop[:, 10:], np.broadcast_to([9, 8, 7], (40, 30, 3)))
    assert not crop[:, :9].any()


def test_a_crop_wholly_outside_is_refused():
    with pytest.raises(ValueError, match="outside the image of 60 x 50"):
        crop_image(np.zeros((50, 60, 3), np.uint8), CropTransform(60, 0, 40, 240))


def test_a_long_strip_is_cropped_without_a_square_as_long():
    # 120 GB as a square.
    strip = np.zeros((100, 200_000, 3), np.uint8)
    strip[:, :100_000] = 200
    crop = crop_image(strip, CropTransform(0, -99_950, 200_000, 240))
    assert crop.shape == (240, 240, 3)
    assert (crop[:, :119] == 200).all() and (crop[:, 121:] == 0).all()


def test_large_squares_are_cropped_as_small_ones():
    rng = np.random.default_rng(0)
    small = np.repeat(rng.integers(0, 255, (40, 60), np.uint8), 4, axis=1)
    picture = cv2.resize(small, None, fx=50, fy=50, interpolation=cv2.INTER_LINEAR)
    transform = CropTransform(-1000, -2000, 9600, 96)
    cropped = crop_image(picture, transform).astype(int)
    inside = crop_image(picture, CropTransform(0, 0, 2000, 20)).astype(int)
    assert np.abs(cropped[20:40, 10:30] - inside).max() <= 2
