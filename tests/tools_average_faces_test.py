"""Distances of average faces: of a moved one none, of a larger one what it is larger by."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from tools.measuring.average_faces import surface_distance


def test_it_is_the_distance_of_surfaces_after_a_rigid_fit():
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
    shape = np.asarray(sphere.vertices) * (1.0, 1.3, 0.8)
    turn = Rotation.from_rotvec((0.02, -0.05, 0.03))
    moved = turn.apply(shape) + (1.0, -2.0, 0.5)
    assert surface_distance(shape, moved, sphere.faces) < 1e-3
    larger = shape * (1.0 + 2.0 / np.linalg.norm(shape, axis=1, keepdims=True))
    assert surface_distance(larger, moved, sphere.faces) == pytest.approx(2.0, abs=0.1)
