"""The people's measures: as published, with what they leave open, on meshes that stay whole."""

import dataclasses

import numpy as np
import pytest

from fml_tf.synthesis.anthropometry import (
    DEVIATIONS,
    DRAWN,
    MEANS,
    MEASURES,
    NUM_LENGTHS,
    POPULATIONS,
    SEXES,
    correlations,
    measure,
    offsets,
    slopes,
)
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.population import AGE_BETA, Population, sample_descent
from fml_tf.template.makehuman import load_identity_assets

NAMES = [row.name for row in MEASURES]


@pytest.fixture(scope="module")
def head():
    return HeadModel("4k")


@pytest.fixture(scope="module")
def people():
    return Population()


@pytest.fixture(scope="module")
def standardised(head, people):
    """[300, M] measures of people of one sex and population each, in published deviations."""
    rng = np.random.default_rng(0)
    rows = []
    for p, population in enumerate(POPULATIONS):
        shares = {name: float(name == population) for name in POPULATIONS}
        for s in range(len(SEXES)):
            for _ in range(50):
                shape = head.neutral(people.sample(rng, shares, float(s), rng.beta(*AGE_BETA)))
                rows.append((measure(offsets(shape)) - MEANS[p, s]) / DEVIATIONS[p, s])
    return np.array(rows)


def test_people_have_the_published_means_and_spreads(standardised):
    # The standard error of a mean is 0.06, that of a standard deviation 0.04.
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=0.25)
    spread = standardised.std(axis=0)
    np.testing.assert_allclose(spread[DRAWN], 1, atol=0.2)
    np.testing.assert_allclose(spread[~DRAWN], 1, atol=0.4)


def test_people_have_the_published_correlations(standardised):
    expected = correlations()[0][np.ix_(DRAWN, DRAWN)]
    errors = np.corrcoef(standardised[:, DRAWN].T) - expected
    assert np.sqrt(np.mean(errors**2)) < 0.08
    assert np.linalg.eigvalsh(correlations()[0]).min() > 0.05


def test_correlations_are_those_of_the_survey():
    together, by_age = correlations()
    pair = NAMES.index("face_breadth"), NAMES.index("head_breadth")
    assert 0.55 < together[pair] < 0.7  # 0.65 and 0.61 over men and women of ANSUR II
    assert by_age[NAMES.index("nose_breadth")] > 0.5  # noses grow wider
    assert by_age[NAMES.index("upper_lip")] == 0  # not in the survey


def test_means_of_the_template_have_the_published_measures():
    assets = load_identity_assets("4k")
    for p, population in enumerate(POPULATIONS):
        for s, sex in enumerate(SEXES):
            names = [f"{population}-{sex}-{age}" for age in ("young", "old")]
            heads = [
                np.concatenate([assets.means[n], *(a.means[n] for a in assets.accessories)])
                for n in names
            ]
            error = measure(offsets(np.mean(heads, axis=0))) - MEANS[p, s]
            assert np.abs(error[:NUM_LENGTHS]).max() < 0.6
            assert np.abs(error[NUM_LENGTHS:]).max() < 1


def test_slopes_are_the_derivatives_of_the_measures():
    rng = np.random.default_rng(1)
    shape = load_identity_assets("4k")
    shape = np.concatenate(
        [shape.means["asian-male-old"], *(a.means["asian-male-old"] for a in shape.accessories)]
    )
    lines = offsets(shape.astype(float))
    changes = rng.standard_normal((5, *lines.shape))
    numeric = [(measure(lines + 1e-5 * c) - measure(lines - 1e-5 * c)) / 2e-5 for c in changes]
    np.testing.assert_allclose(slopes(lines, changes), np.transpose(numeric), atol=1e-5)


def test_a_person_is_a_function_of_the_seed(people):
    first, again, other = (
        people.sample(rng, *sample_descent(rng)) for rng in map(np.random.default_rng, (3, 3, 4))
    )
    np.testing.assert_array_equal(first.target_weights, again.target_weights)
    assert first.size == again.size
    assert np.abs(first.target_weights - other.target_weights).max() > 0.1
    assert np.abs(first.target_weights).max() <= 1


def test_hardly_a_triangle_of_a_face_is_turned_over(head, people):
    template = head.template
    triangles = template.triangles[template.regions["face"][template.triangles].all(axis=1)]

    def normals(shape: np.ndarray) -> np.ndarray:
        a, b, c = shape[triangles].transpose(1, 0, 2)
        return np.cross(b - a, c - a)

    upright = normals(template.mean_shape)
    turned = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = head.neutral(people.sample(rng, *sample_descent(rng)))
        turned.append((normals(shape) * upright).sum(axis=1) < 0)
    assert np.mean(turned) < 0.001


def test_smooth_changes_belong_to_no_target_and_are_the_same_at_every_resolution(head, people):
    rng = np.random.default_rng(3)
    person = people.sample(rng, *sample_descent(rng))
    without = dataclasses.replace(person, smooth_heights=0.0 * person.smooth_heights)
    count = head.template.num_vertices
    change = (head.neutral(person) - head.neutral(without))[:count]
    assert 0.5 < np.sqrt(np.mean(np.square(change))) < 4.0  # mm along an axis
    fine = HeadModel("16k")
    change_of_fine = (fine.neutral(person) - fine.neutral(without))[:count]
    # Subdividing moves vertices where the surface bends.
    moved = np.linalg.norm(fine.template.mean_shape[:count] - head.template.mean_shape, axis=1)
    unmoved = moved < 0.3
    assert unmoved.mean() > 0.5
    np.testing.assert_allclose(change_of_fine[unmoved], change[unmoved], atol=0.1)
