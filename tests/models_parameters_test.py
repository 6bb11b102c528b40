"""Layouts of parameters: vectors to named values and back."""

import numpy as np
import tensorflow as tf

from fml_tf.models.parameters import Parameter, ParameterLayout

LAYOUT = ParameterLayout(
    [
        Parameter("plain", (2,)),
        Parameter("scaled", (3,), scale=np.float32([1, 10, 100]), offset=np.float32([0, 0, -900])),
        Parameter("matrix", (2, 2), offset=np.float32([[1, 2], [3, 4]])),
    ]
)


def test_split_scales_and_shifts():
    assert LAYOUT.size == 9 and LAYOUT.names == ("plain", "scaled", "matrix")
    values = LAYOUT.split(tf.ones((5, 9)))
    np.testing.assert_array_equal(values["plain"], np.ones((5, 2)))
    np.testing.assert_array_equal(values["scaled"][0], [1, 10, -800])
    np.testing.assert_array_equal(values["matrix"][0], [[2, 3], [4, 5]])


def test_join_is_the_inverse_of_split():
    """What an edited identity is given to the encoder as is what it regressed, if unedited."""
    outputs = tf.random.stateless_normal((2, 3, 9), (0, 1))
    np.testing.assert_allclose(LAYOUT.join(LAYOUT.split(outputs)), outputs, rtol=1e-4, atol=1e-5)


def test_copies_share_one_number():
    white = Parameter("light", (2, 3), offset=np.float32([[1] * 3, [0] * 3]), copies=3)
    layout = ParameterLayout([Parameter("plain", (1,)), white])
    assert layout.size == 3
    outputs = tf.constant([[7.0, 1.0, 2.0], [8.0, 3.0, 4.0]])
    values = layout.split(outputs)
    np.testing.assert_array_equal(values["light"][0], [[2, 2, 2], [2, 2, 2]])
    np.testing.assert_array_equal(values["light"][1], [[4, 4, 4], [4, 4, 4]])
    np.testing.assert_allclose(layout.join(values), outputs, atol=1e-6)
