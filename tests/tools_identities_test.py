"""Whether distances between photos tell people apart."""

import numpy as np

from tools.measuring.identities import in_order

PEOPLE = np.array([0, 0, 0, 1, 1, 2])
SAME = PEOPLE[:, None] == PEOPLE


def test_perfect_reversed_and_undecided_distances():
    apart = np.where(SAME, 1.0, 2.0)
    assert in_order(apart, SAME) == 1.0
    assert in_order(-apart, SAME) == 0.0
    assert 0.3 < in_order(np.random.default_rng(0).random((6, 6)), SAME) < 0.7


def test_triples_are_counted_by_hand():
    distances = np.array([[0.0, 2.0, 1.0, 3.0], [2.0, 0.0, 4.0, 5.0], [9.0] * 4, [9.0] * 4])
    people = np.array([0, 0, 1, 2])
    # Photo 0: its other is at 2, others at 1 (wrong) and 3; photo 1: at 2, others at 4 and 5.
    assert in_order(distances, people[:, None] == people) == 0.75
