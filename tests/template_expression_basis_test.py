import dataclasses

import numpy as np
import pytest

from fml_tf.template.expression_basis import pca_basis, raw_basis
from fml_tf.template.makehuman import load_makehuman


@pytest.fixture(scope="module")
def template():
    return load_makehuman("4k")


@pytest.fixture(scope="module")
def pca(template):
    return pca_basis(template)


def mixtures(template, count, seed):
    """Sparse half-normal activations, as the papers mix blendshapes; the lips stay apart."""
    random = np.random.default_rng(seed)
    shape = (count, len(template.blendshapes))
    activation = np.abs(random.normal(size=shape)) * template.blendshape_sigma
    activation *= random.random(shape) < 0.3
    activation[:, template.blendshape_names.index("mouthClose")] = 0
    return activation


def test_raw_basis_is_the_blendshapes(template):
    basis = raw_basis(template)
    np.testing.assert_array_equal(basis.basis, template.blendshapes)
    np.testing.assert_array_equal(basis.sigma, template.blendshape_sigma)
    assert basis.names == template.blendshape_names
    np.testing.assert_array_equal(basis.blendshape_weights, np.eye(52))


def test_pca_keeps_the_share_of_displacement_that_is_asked_for(template):
    face = template.regions["face"]
    shapes = template.blendshapes[:, face].reshape(52, -1)
    samples = mixtures(template, 400, seed=7) @ shapes
    sizes = []
    for variance in (0.9, 0.99):
        basis = pca_basis(template, variance).basis[:, face].astype(float)
        flat = basis.reshape(len(basis), -1).T
        residual = samples.T - flat @ np.linalg.solve(flat.T @ flat, flat.T @ samples.T)
        lost = (residual**2).sum() / (samples**2).sum()
        # Within a half of what is left out, on mixtures that the basis was not made from.
        assert 0.5 * (1 - variance) < lost < 1.5 * (1 - variance)
        sizes.append(len(basis))
    assert sizes[0] < sizes[1] < 52


def test_pca_coefficients_have_sigma_one(template):
    basis = pca_basis(template, 0.9)
    np.testing.assert_array_equal(basis.sigma, 1)
    face = template.regions["face"]
    flat = basis.basis[:, face].reshape(len(basis.basis), -1).T.astype(np.float64)
    samples = mixtures(template, 1000, seed=3) @ template.blendshapes[:, face].reshape(52, -1)
    coefficients = np.linalg.solve(flat.T @ flat, flat.T @ samples.T)
    np.testing.assert_allclose(np.sqrt((coefficients**2).mean(axis=1)), 1, atol=0.25)
    # Components are orthogonal over the face.
    gram = flat.T @ flat
    off_diagonal = gram - np.diag(np.diag(gram))
    assert np.abs(off_diagonal).max() < 1e-4 * gram.max()


def test_weights_turn_coefficients_into_activations(template, pca):
    basis = pca
    assert basis.names is None and basis.basis.dtype == np.float32
    delta = np.random.default_rng(0).normal(size=len(basis.basis)).astype(np.float32)
    expected = np.tensordot(delta @ basis.blendshape_weights, template.blendshapes, 1)
    np.testing.assert_allclose(np.tensordot(delta, basis.basis, 1), expected, atol=1e-3)


def test_pca_is_reproducible(template, pca):
    np.testing.assert_array_equal(pca_basis(template).basis, pca.basis)
    assert not np.array_equal(pca_basis(template, seed=1).basis[0], pca.basis[0])


def test_full_variance_drops_only_shapes_that_do_not_move_the_face(template):
    still = np.abs(template.blendshapes[:, template.regions["face"]]).max(axis=(1, 2)) == 0
    assert still.any()  # tongueOut
    assert len(pca_basis(template, 1.0).basis) == 52 - still.sum()


@pytest.mark.parametrize("variance", [0, 1.01, float("nan")])
def test_refuses_a_share_outside_zero_to_one(template, variance):
    with pytest.raises(ValueError, match="variance must be in"):
        pca_basis(template, variance)


def test_refuses_blendshapes_that_do_nothing(template):
    still = dataclasses.replace(template, blendshapes=np.zeros_like(template.blendshapes))
    with pytest.raises(ValueError, match="blendshapes are zero"):
        pca_basis(still)


def test_signs_of_components_do_not_hang_on_the_linear_algebra(template, pca, monkeypatch):
    weights = pca.blendshape_weights
    largest = np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1)
    assert (largest > 0).all()
    eigh = np.linalg.eigh

    def other_signs(matrix):
        values, vectors = eigh(matrix)
        return values, -vectors

    monkeypatch.setattr(np.linalg, "eigh", other_signs)
    np.testing.assert_array_equal(pca_basis(template).basis, pca.basis)
    free = pca_basis(template, fixed_signs=False)
    assert np.any(free.basis != pca.basis)
