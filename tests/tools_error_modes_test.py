"""What a detector's points err together is told apart from what each errs by itself."""

import numpy as np

from tools.assets.error_modes import error_modes


def simulated(rng, pictures, together, deviation):
    """Errors [N, P, 3] mm of directions [K, P, 3] and own deviations [P, 2]."""
    factors = rng.normal(size=(pictures, len(together)))
    own = rng.normal(size=(pictures, *together.shape[1:])) * deviation[:, [0, 0, 1]]
    return np.tensordot(factors, together, 1) + own


def test_both_parts_of_the_errors_are_found():
    rng = np.random.default_rng(0)
    points = 40
    together = rng.normal(size=(2, points, 3)) * [[[3.0]], [[1.5]]]
    deviation = rng.uniform(0.3, 0.9, (points, 2))
    errors = simulated(rng, 4000, together, deviation)
    modes, own = error_modes(errors, number=2)
    assert modes.shape == together.shape
    found, expected = (np.einsum("kpc,kqd->pcqd", m, m) for m in (modes, together))
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(own, deviation, rtol=0.15)


def test_a_constant_error_is_a_mode_and_a_wrong_face_is_left_out():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(200, 30, 3)) * 0.1 + (0.0, 0.0, 4.0)
    errors[7] += 60.0
    modes, own = error_modes(errors, number=1)
    np.testing.assert_allclose(np.abs(modes[0]), np.tile((0.0, 0.0, 4.0), (30, 1)), atol=0.1)
    np.testing.assert_allclose(own, 0.1, rtol=0.3)
