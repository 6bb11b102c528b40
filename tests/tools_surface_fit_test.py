import numpy as np
import pytest

from tools.assets.surface_fit import fit_surface_points


@pytest.fixture
def pictures():
    """A bumpy grid of 36 vertices seen in 60 pictures, [60, 36, 2], and its triangles."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(6) * 8.0, np.arange(6) * 8.0)
    shape = np.stack([x.ravel(), y.ravel(), rng.normal(size=36)], axis=1)
    corners = np.arange(36).reshape(6, 6)
    a, b, c, d = corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]
    triangles = np.concatenate(
        [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))]
    )
    views = []
    for angle in rng.normal(0, 0.3, 60):
        deformed = shape + rng.normal(0, 0.4, shape.shape)
        turned = deformed[:, 0] * np.cos(angle) + deformed[:, 2] * np.sin(angle)
        views.append(np.stack([turned, deformed[:, 1]], axis=1))
    return np.array(views), triangles


def test_places_are_found_among_noise_and_outliers(pictures):
    vertices, triangles = pictures
    rng = np.random.default_rng(2)
    corners, weights = triangles[[3, 20, 41]], np.array([[0.2, 0.5, 0.3], [0.6, 0, 0.4], [1, 0, 0]])
    tracked = np.einsum("npkd,pk->npd", vertices[:, corners], weights)
    tracked += rng.normal(0, 0.3, tracked.shape)
    tracked[::9] += 40  # a hand before the face
    found = fit_surface_points(tracked, vertices, triangles)
    error = np.linalg.norm(
        found.of(vertices) - np.einsum("npkd,pk->npd", vertices[:, corners], weights), axis=-1
    )
    assert error.mean() < 0.25
    assert (found.weights >= 0).all()
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)


def test_a_place_keeps_to_the_edges_that_it_may_lie_on(pictures):
    vertices, triangles = pictures
    a, b, c = triangles[7]
    tracked = vertices[:, [a, b, c]].mean(axis=1)[:, None]  # in the middle of a triangle
    found = fit_surface_points(tracked, vertices, np.array([[a, b, b], [b, c, c]]))
    assert set(found.corners[0]) <= {a, b, c}
    on_edge = found.of(vertices) - tracked
    assert 1 < np.linalg.norm(on_edge, axis=-1).mean() < 5
