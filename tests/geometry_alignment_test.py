import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_tf.geometry.alignment import Similarity, procrustes


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def known(rng):
    rotation = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    return Similarity(1.7, rotation, np.array([10.0, -250.0, 33.0]))


def test_a_known_similarity_comes_back(rng, known):
    source = rng.normal(scale=60, size=(66, 3))
    found = procrustes(source, known.apply(source))
    assert abs(found.scale - known.scale) < 1e-6
    np.testing.assert_allclose(found.rotation, known.rotation, atol=1e-6)
    np.testing.assert_allclose(found.translation, known.translation, atol=1e-6)


def test_the_inverse_undoes_it(rng, known):
    points = rng.normal(scale=60, size=(5, 3))
    np.testing.assert_allclose(known.apply_inverse(known.apply(points)), points, atol=1e-9)


@pytest.mark.parametrize("num_points", [3, 50])
def test_planar_points_suffice(rng, known, num_points):
    source = rng.normal(size=(num_points, 3)) * [50, 40, 0]
    found = procrustes(source, known.apply(source))
    np.testing.assert_allclose(found.rotation, known.rotation, atol=1e-6)


def test_rigid_keeps_the_scale(rng, known):
    source = rng.normal(size=(20, 3))
    found = procrustes(source, known.apply(source), with_scale=False)
    assert found.scale == 1.0
    np.testing.assert_allclose(found.rotation, known.rotation, atol=1e-6)


def test_a_reflection_is_refused(rng):
    source = rng.normal(size=(30, 3))
    found = procrustes(source, source * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert found.scale > 0


def test_points_of_weight_zero_do_not_count(rng, known):
    source = rng.normal(size=(20, 3))
    target = known.apply(source)
    target[:5] += 100
    found = procrustes(source, target, weights=np.repeat([0.0, 1.0], [5, 15]))
    np.testing.assert_allclose(found.apply(source)[5:], target[5:], atol=1e-6)


def test_an_integer_weight_is_a_repeated_point(rng):
    source, target = rng.normal(size=(2, 10, 3))
    counts = rng.integers(1, 4, size=10)
    weighted = procrustes(source, target, weights=counts)
    repeated = procrustes(np.repeat(source, counts, axis=0), np.repeat(target, counts, axis=0))
    assert weighted.scale == pytest.approx(repeated.scale)
    np.testing.assert_allclose(weighted.rotation, repeated.rotation, atol=1e-9)
    np.testing.assert_allclose(weighted.translation, repeated.translation, atol=1e-9)


@pytest.mark.parametrize("with_scale", [False, True])
def test_no_small_change_fits_better(rng, with_scale):
    source, target = rng.normal(size=(2, 25, 3))
    weights = rng.uniform(size=25)
    best = procrustes(source, target, weights, with_scale)

    def cost(fit):
        return weights @ ((fit.apply(source) - target) ** 2).sum(axis=1)

    for _ in range(50):
        turn = Rotation.from_rotvec(rng.normal(scale=1e-3, size=3)).as_matrix()
        stretch = 1 + rng.normal(scale=1e-3) * with_scale
        moved = Similarity(
            best.scale * stretch,
            turn @ best.rotation,
            best.translation + rng.normal(scale=1e-3, size=3),
        )
        assert cost(moved) >= cost(best)


@pytest.mark.parametrize(
    ("source", "target", "weights", "message"),
    [
        (np.zeros((4, 3)), np.zeros((5, 3)), None, "must both be"),
        (np.zeros((4, 3)), np.zeros((4, 3)), None, "on one line"),
        (np.outer(np.arange(4), [1, 2, 3]), np.zeros((4, 3)), None, "on one line"),
        (np.eye(3), np.full((3, 3), np.nan), None, "finite"),
        (np.eye(3), np.eye(3), np.zeros(3), "weights"),
        (np.eye(3), np.eye(3), [1.0, -1.0, 1.0], "weights"),
    ],
)
def test_bad_input_is_refused(source, target, weights, message):
    with pytest.raises(ValueError, match=message):
        procrustes(source, target, weights)
