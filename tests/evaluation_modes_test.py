import h5py
import numpy as np
import pytest
from full_disk import full_disk

from fml_tf.evaluation.modes import picture_modes, write_statistical_model
from fml_tf.evaluation.principal_components import principal_components
from fml_tf.files.atomic import NotWrittenError
from fml_tf.template.basel import read_bfm
from fml_tf.template.makehuman import load_makehuman


@pytest.fixture(scope="module")
def template():
    return load_makehuman("4k")


@pytest.fixture(scope="module")
def models(template):
    """Two independent modes of known size in the shape, one in the albedo."""
    rng = np.random.default_rng(0)
    count = 3 * template.num_vertices
    directions = np.linalg.qr(rng.normal(size=(count, 2)))[0]
    coefficients = rng.normal(size=(4000, 2)) * [30.0, 10.0]
    shapes = template.mean_shape.reshape(-1) + coefficients[:60] @ directions.T
    albedos = 0.5 + 0.1 * rng.normal(size=(60, 1)) @ np.full((1, count), 1.0)
    return principal_components(shapes, 10), principal_components(albedos, 10), directions


def test_known_modes_come_back(models):
    shape, albedo, directions = models
    assert len(shape.variance) == 2 and len(albedo.variance) == 1
    np.testing.assert_allclose(shape.basis.T @ shape.basis, np.eye(2), atol=1e-9)
    # The plane of the modes is the one that the samples were made in.
    np.testing.assert_allclose(np.linalg.norm(directions.T @ shape.basis, axis=0), 1, atol=1e-9)
    assert np.sqrt(shape.variance[0]) == pytest.approx(30, rel=0.3)
    assert shape.variance[0] > 4 * shape.variance[1]


def test_components_rebuild_the_samples():
    samples = np.random.default_rng(1).normal(size=(5, 30))
    model = principal_components(samples, 10)
    assert model.basis.shape == (30, 4)
    rebuilt = model.mean + (samples - model.mean) @ model.basis @ model.basis.T
    np.testing.assert_allclose(rebuilt, samples, atol=1e-9)
    assert model.variance.sum() == pytest.approx(samples.var(axis=0, ddof=1).sum())


@pytest.mark.parametrize("samples", [np.zeros((1, 3)), np.ones((4, 3))])
def test_samples_without_variation_are_refused(samples):
    with pytest.raises(ValueError, match="PCA needs"):
        principal_components(samples, 2)


def test_the_file_is_a_basel_model_that_loads_back(models, template, tmp_path):
    shape, albedo, _ = models
    path = tmp_path / "model.h5"
    write_statistical_model(path, template, shape, albedo)
    loaded = read_bfm(path)
    # The reader keeps the part with the nose and moves the origin.
    np.testing.assert_array_equal(loaded.triangles, template.triangles)
    offset = loaded.mean_shape - shape.mean.reshape(-1, 3)
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-3)
    np.testing.assert_array_equal(loaded.landmark_vertices, template.landmark_vertices)
    # The same expressions are likely: covariance of the mouth's corner under either basis.
    vertex = template.landmark_vertices[48]

    def covariance(of):
        scaled = of.blendshapes[:, vertex] * of.blendshape_sigma[:, None]
        return scaled.T @ scaled

    np.testing.assert_allclose(covariance(loaded), covariance(template), rtol=1e-3, atol=1e-4)
    with h5py.File(path) as file:
        assert file["shape/model/pcaBasis"].shape == (3 * template.num_vertices, 2)
        assert file["shape/representer/cells"].shape == (3, len(template.triangles))
        assert file["color/model/mean"].shape == (3 * template.num_vertices,)


def test_a_full_disk_is_told(models, template, tmp_path):
    shape, albedo, _ = models
    for room in (0, 10_000):
        with full_disk(room), pytest.raises(NotWrittenError, match=r"model\.h5: cannot be written"):
            write_statistical_model(tmp_path / "model.h5", template, shape, albedo)
    assert not list(tmp_path.iterdir())


def test_pictures_show_the_modes(models, template):
    shape, albedo, _ = models
    sheet = picture_modes(template, shape, albedo, count=2)
    assert sheet.shape == (524, 1440, 3)
    tiles = sheet.reshape(2, 262, 6, 240, 3)[:, 22:].transpose(0, 2, 1, 3, 4).astype(int)
    brightness = tiles[0, 3:].mean(axis=(1, 2, 3))
    assert abs(brightness[2] - brightness[0]) > 10  # the albedo's mode is its brightness
    np.testing.assert_array_equal(tiles[0, 1], tiles[1, 1])  # the mean is the mean
    assert (tiles[1, 3] == tiles[1, 4]).all()  # there is no second mode
