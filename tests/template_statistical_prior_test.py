"""The statistical face models that ship."""

import numpy as np
import pytest

from fml_tf.template.makehuman import load_makehuman
from fml_tf.template.statistical_prior import FacePrior, load_prior
from tools.assets.build_statistical_priors import build


@pytest.fixture(scope="module", params=["synthetic", "synthetic_all"])
def prior(request):
    return load_prior(request.param, load_makehuman("4k"), 80)


def test_vectors_are_orthogonal_and_as_long_as_their_deviations(prior):
    for basis in (prior.shape_basis, prior.albedo_basis):
        flat = basis.reshape(80, -1).astype(np.float64)
        lengths = np.linalg.norm(flat, axis=1)
        assert (np.diff(lengths) <= 1e-3 * lengths[:-1]).all()
        cosines = (flat / lengths[:, None]) @ (flat / lengths[:, None]).T
        np.testing.assert_allclose(cosines, np.eye(80), atol=5e-3)  # stored in 16 bits


def test_random_coefficients_give_faces_of_a_human_spread(prior):
    face = load_makehuman("4k").regions["face"]
    spread = np.sqrt((prior.shape_basis[:, face] ** 2).sum(axis=(0, 2))).mean()
    assert 3.0 < spread < 7.0  # mm, size included
    albedo = prior.mean_albedo[face] + 2 * prior.albedo_basis[0][face]
    assert 0 < albedo.min() < albedo.max() < 1


def test_europeans_with_clean_skin_are_lighter_and_vary_less():
    template = load_makehuman("4k")
    scans, all_people = (load_prior(n, template, 80) for n in ("synthetic", "synthetic_all"))
    face = template.regions["face"]
    assert scans.mean_albedo[face].mean() > all_people.mean_albedo[face].mean() + 0.05
    spread, of_all = (np.linalg.norm(p.albedo_basis[:, face]) for p in (scans, all_people))
    assert spread < 0.7 * of_all


def test_a_finer_template_has_the_same_people():
    coarse, fine = (load_prior("synthetic", load_makehuman(r), 5) for r in ("4k", "16k"))
    template = load_makehuman("16k")
    assert fine.shape_basis.shape == (5, template.num_vertices, 3)
    count = len(coarse.mean_shape)
    # Subdivision smooths: vertices of the face move by less than the detail of one cell.
    face = template.regions["face"][:count]
    moved = fine.mean_shape[:count] - coarse.mean_shape
    assert np.linalg.norm(moved, axis=1)[face].mean() < 0.5
    changed = (fine.shape_basis[:, :count] - coarse.shape_basis)[:, face]
    assert np.abs(changed).max() < 0.1 * np.abs(coarse.shape_basis[:, face]).max()


def test_what_cannot_be_had_is_said():
    with pytest.raises(ValueError, match="--prior_size=81: the prior 'synthetic' has 80 vectors"):
        load_prior("synthetic", load_makehuman("4k"), 81)
    foreign = load_makehuman("4k", "asian-female-young")
    object.__setattr__(foreign, "name", "bfm")
    try:
        with pytest.raises(ValueError, match="is of the open template, not of bfm"):
            load_prior("synthetic", foreign, 80)
    finally:
        object.__setattr__(foreign, "name", "makehuman-asian-female-young-4k")


def test_components_have_the_spread_of_the_people():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, 50, 3))
    people = [
        (10 * np.tensordot(rng.normal(size=3), directions, 1), np.full((50, 3), rng.random()))
        for _ in range(40)
    ]
    prior = FacePrior.from_arrays(build(people))
    assert len(prior.shape_basis) == 3
    assert len(prior.albedo_basis) == 1
    shapes = np.stack([shape for shape, _ in people])
    spread = np.sqrt((prior.shape_basis.astype(np.float64) ** 2).sum(axis=0))
    np.testing.assert_allclose(spread, shapes.std(axis=0, ddof=1), rtol=5e-3, atol=0.05)
