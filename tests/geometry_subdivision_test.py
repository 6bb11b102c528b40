import numpy as np
import pytest

from fml_tf.geometry.subdivision import catmull_clark, triangulate

CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
CUBE_QUADS = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)


def grid(size):
    """Unit grid of size x size quads in the plane."""
    index = np.arange((size + 1) ** 2).reshape(size + 1, size + 1)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1)
    y, x = np.divmod(np.arange(index.size), size + 1)
    return np.stack([x, y], axis=1).astype(float), quads.reshape(-1, 4)


def edges(quads):
    sides = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    return np.unique(np.sort(sides, axis=1), axis=0)


def signed_volume(vertices, triangles):
    return np.linalg.det(vertices[triangles]).sum() / 6


def test_cube_matches_the_rules_by_hand():
    operator, quads = catmull_clark(CUBE_QUADS, 8)
    vertices = operator @ CUBE
    assert vertices.shape == (26, 3) and quads.shape == (24, 4)
    # Valence 3: the mean of face points (1/3) plus twice that of midpoints (2/3), over 3.
    np.testing.assert_allclose(vertices[:8], CUBE * 5 / 9, atol=1e-12)
    # Edge points: mean of the two ends and the two face points, so 3/4 along both filled axes.
    assert sorted(np.round(np.abs(vertices[8:20]).sum(axis=1), 12)) == [1.5] * 12
    np.testing.assert_allclose(np.abs(vertices[20:]).max(axis=1), 1)


def test_keeps_topology_and_orientation():
    vertices, quads = CUBE, CUBE_QUADS
    volume = signed_volume(vertices, triangulate(quads))
    for _ in range(3):
        operator, quads = catmull_clark(quads, len(vertices))
        vertices = operator @ vertices
        assert len(vertices) - len(edges(quads)) + len(quads) == 2
        new_volume = signed_volume(vertices, triangulate(quads))
        assert 0 < new_volume * np.sign(volume) < volume * np.sign(volume)
        volume = new_volume


def test_rows_are_a_partition_of_unity():
    for quads, count in ((CUBE_QUADS, 8), (grid(5)[1], 36)):
        operator, _ = catmull_clark(quads, count)
        np.testing.assert_allclose(np.asarray(operator.sum(axis=1)).ravel(), 1, atol=1e-12)
        assert operator.min() >= 0


def test_reproduces_a_linear_function_inside_and_along_straight_boundaries():
    vertices, quads = grid(6)
    operator, _ = catmull_clark(quads, len(vertices))
    moved = operator[: len(vertices)] @ vertices
    corner = np.isin(vertices, (0, 6)).all(axis=1)
    np.testing.assert_allclose(moved[~corner], vertices[~corner], atol=1e-12)
    assert np.abs(moved[corner] - vertices[corner]).max() > 0.1  # the B-spline rounds corners


def test_mixed_faces_make_quads():
    # A square pyramid: one quad and four triangles.
    base, sides = np.array([[0, 3, 2, 1]]), np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    operator, quads = catmull_clark([base, sides], 5)
    assert operator.shape == (5 + 8 + 5, 5)
    assert len(quads) == 4 + 12
    assert operator.shape[0] - len(edges(quads)) + len(quads) == 2


def test_triangulate_covers_the_quad():
    np.testing.assert_array_equal(triangulate([[0, 1, 2, 3]]), [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    ("faces", "count", "message"),
    [
        ([[0, 1, 2, 3]], 5, "vertex 4 belongs to no face"),
        ([[0, 1, 2, 4]], 4, r"outside \[0, 4\)"),
        ([[0, 1, 2], [1, 0, 3], [0, 1, 4]], 5, r"edge \(0, 1\) has more than two faces"),
    ],
)
def test_refuses_broken_meshes(faces, count, message):
    with pytest.raises(ValueError, match=message):
        catmull_clark(np.array(faces), count)
