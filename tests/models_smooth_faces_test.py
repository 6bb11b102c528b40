"""Random faces that bases may start from: symmetric, smooth, as large as they say."""

import types

import numpy as np
import pytest

from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.models.face_models.smooth_faces import smooth_faces
from fml_tf.training.initial_bases import set_initial_bases

TONE = np.array((0.6, 0.5, 0.4))


@pytest.fixture(scope="module")
def grid():
    """Points 5 mm apart on a plane that goes through the middle, and where each is mirrored."""
    x, y = np.meshgrid(np.arange(-80.0, 81.0, 5.0), np.arange(-20.0, 21.0, 5.0))
    points = np.stack([x, y, 0.0 * x], axis=-1)
    return points.reshape(-1, 3), np.arange(x.size).reshape(x.shape)


@pytest.fixture(scope="module")
def faces(grid):
    return smooth_faces(types.SimpleNamespace(mean_shape=grid[0]), TONE, 400)


def test_left_and_right_are_mirrored(grid, faces):
    points, numbers = grid
    shapes, albedos = faces
    mirrored = numbers[:, ::-1].ravel()
    np.testing.assert_allclose(shapes[:, mirrored] * (-1, 1, 1), shapes, atol=1e-3)
    np.testing.assert_allclose(albedos[:, mirrored], albedos, atol=1e-5)
    assert np.abs(shapes - points).std() > 1.0  # and not by being nothing


def test_means_and_deviations_are_as_said(grid, faces):
    points, numbers = grid
    shapes, albedos = faces
    side = numbers[:, :3].ravel()  # too far from the middle to meet its mirror image
    np.testing.assert_allclose((shapes - points).mean(axis=0), 0.0, atol=1.0)
    expected = np.sqrt(3.0**2 + 1.5**2 + 0.75**2)
    np.testing.assert_allclose((shapes - points)[:, side].std(axis=0).mean(), expected, rtol=0.2)
    np.testing.assert_allclose(albedos.mean(axis=(0, 1)), TONE, rtol=0.1)
    assert 0.1 < (albedos / TONE).std(axis=0).mean() < 0.4


def test_neighbours_go_together_and_far_points_do_not(grid, faces):
    points, numbers = grid
    displacements = (faces[0] - points)[..., 1]
    row = numbers[4]

    def correlation(one, other):
        return np.corrcoef(displacements[:, one], displacements[:, other])[0, 1]

    assert correlation(row[0], row[1]) > 0.95
    assert abs(correlation(row[0], row[16])) < 0.6  # 80 mm, of a reach of 60


def test_bases_start_from_smooth_faces_without_any_data():
    config = ModelConfig(network_width=0.02, shape_size=6, albedo_size=4, num_graph_nodes=150)
    models = [build_model(config).face_model for _ in range(2)]
    for model in models:
        set_initial_bases(model, "smooth", builder=None)
    bases = models[0].shape_basis.numpy()
    np.testing.assert_array_equal(bases, models[1].shape_basis.numpy())
    np.testing.assert_allclose(
        models[0].orthogonal_complement(bases), bases, atol=1e-4 * np.abs(bases).max()
    )
    # In order of what they show; the first moves a face by millimetres.
    sizes = np.linalg.norm(bases.reshape(-1, 3, 6), axis=1).mean(axis=0) * config.length_unit_mm
    assert sizes[0] > 1.0 and sizes[0] > sizes[-1]
    tones = models[0].mean_albedo.numpy().reshape(-1, 3)
    np.testing.assert_allclose(tones.mean(axis=0), (0.62, 0.46, 0.39), rtol=0.05)
