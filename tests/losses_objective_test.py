import numpy as np
import pytest
import tensorflow as tf

from fml_tf.losses.objective import PAPER_WEIGHTS, LossTerms, LossWeights, total_loss, weigh


def test_total_is_the_weighted_sum_with_the_papers_weights():
    terms = LossTerms(*(tf.constant(value, tf.float64) for value in (50.0, 2.0, 3e3, 4e7, 5e8)))
    weighed = weigh(terms, PAPER_WEIGHTS, num_vertices=200).as_dict()
    expected = {
        "photometric": 1.6 / 200 * 50,
        "landmark": 4.7 * 2,
        "smoothness": 1e-3 * 3e3,
        "sparsity": 1e-7 * 4e7,
        "expression": 1e-8 * 5e8,
    }
    assert list(weighed) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(weighed[name], value, rtol=1e-12)
    np.testing.assert_allclose(
        total_loss(terms, PAPER_WEIGHTS, num_vertices=200), sum(expected.values()), rtol=1e-12
    )


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_bad_weight_is_named(bad):
    with pytest.raises(ValueError, match="landmark"):
        LossWeights(landmark=bad)
