import numpy as np
import pytest
import trimesh

from fml_tf.geometry import topology

# Two triangles that share the edge 1-2; vertex 4 has no triangle.
SQUARE = np.array([[0, 1, 2], [2, 1, 3]])


def test_edges_of_a_square():
    assert topology.edges(SQUARE).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


def test_boundary_of_a_square_leaves_out_the_diagonal():
    assert topology.boundary_edges(SQUARE).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]


def test_a_closed_surface_has_no_boundary_and_eulers_number_two():
    sphere = trimesh.creation.icosphere(subdivisions=2)
    assert len(topology.boundary_edges(sphere.faces)) == 0
    num_edges = len(topology.edges(sphere.faces))
    assert len(sphere.vertices) - num_edges + len(sphere.faces) == 2


def test_edges_agree_with_trimesh():
    sphere = trimesh.creation.icosphere(subdivisions=2)
    expected = np.unique(np.sort(sphere.edges_unique, axis=1), axis=0)
    np.testing.assert_array_equal(topology.edges(sphere.faces), expected)


def test_adjacency_is_symmetric_and_counts_lone_vertices():
    adjacency = topology.vertex_adjacency(SQUARE, 5).toarray()
    assert adjacency.dtype == bool
    np.testing.assert_array_equal(adjacency, adjacency.T)
    assert adjacency.sum(axis=1).tolist() == [2, 3, 3, 2, 0]


def test_degenerate_triangles_make_no_self_loops():
    adjacency = topology.vertex_adjacency(np.array([[0, 0, 1]]), 2)
    assert adjacency.toarray().tolist() == [[False, True], [True, False]]


def test_edge_lengths_are_metric_and_never_zero():
    vertices = np.array([[0, 0, 0], [3, 4, 0], [3, 4, 0]], np.float32)
    lengths = topology.edge_lengths(vertices, np.array([[0, 1, 2]])).toarray()
    assert lengths[0, 1] == lengths[1, 0] == 5
    assert 0 < lengths[1, 2] < 1e-30


def test_a_triangle_outside_the_mesh_is_refused():
    with pytest.raises(ValueError, match="vertex 3 of a mesh of 3 vertices"):
        topology.vertex_adjacency(SQUARE, 3)
