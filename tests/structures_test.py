"""Batches: frames as people of one frame each."""

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.structures import GroundTruth, MultiFrameBatch

PEOPLE, FRAMES = 2, 3
OF_FRAMES = {"blendshape_activations": (4,), "rotation": (3,), "positions": (5, 2)}
OF_FRAMES |= {"illumination": (9, 3)}


def _batch(with_truth):
    random = np.random.default_rng(0)

    def draw(*shape):
        return tf.constant(random.random(shape), tf.float32)

    truth = GroundTruth(
        neutral_shape=draw(PEOPLE, 5, 3),
        albedo=draw(PEOPLE, 5, 3),
        **{name: draw(PEOPLE, FRAMES, *shape) for name, shape in OF_FRAMES.items()},
    )
    return MultiFrameBatch(
        frames=draw(PEOPLE, FRAMES, 8, 8, 3),
        frame_mask=tf.constant([[True, False, True], [True, True, True]]),
        landmarks=draw(PEOPLE, FRAMES, 66, 2),
        landmark_confidence=draw(PEOPLE, FRAMES, 66),
        truth=truth if with_truth else None,
    )


@pytest.mark.parametrize("with_truth", [True, False])
@pytest.mark.parametrize("in_graph", [True, False])
def test_each_frame_is_a_person_with_its_truth(with_truth, in_graph):
    batch = _batch(with_truth)
    by_frame = tf.function(MultiFrameBatch.by_frame) if in_graph else MultiFrameBatch.by_frame
    singles = by_frame(batch)
    assert singles.frames.shape == (PEOPLE * FRAMES, 1, 8, 8, 3)
    for person in range(PEOPLE):
        for m in range(FRAMES):
            n = person * FRAMES + m
            for name in ("frames", "frame_mask", "landmarks", "landmark_confidence"):
                expected = getattr(batch, name)[person, m]
                np.testing.assert_array_equal(getattr(singles, name)[n, 0], expected)
            for name in OF_FRAMES if with_truth else ():
                expected = getattr(batch.truth, name)[person, m]
                np.testing.assert_array_equal(getattr(singles.truth, name)[n, 0], expected)
            for name in ("neutral_shape", "albedo") if with_truth else ():
                expected = getattr(batch.truth, name)[person]
                np.testing.assert_array_equal(getattr(singles.truth, name)[n], expected)
