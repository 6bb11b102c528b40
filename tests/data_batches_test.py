"""Batches: order by seed and step, resume, workers' shares, masks."""

import types

import numpy as np
import pytest
import tensorflow as tf

from fml_tf.data.augmentation import Augmentation
from fml_tf.data.batches import evaluation_examples, training_batches

NUM_EXAMPLES, FRAMES = 10, 3


@pytest.fixture(autouse=True)
def seed():
    """Whatever seed the tests before have left: a global one of 0 is none that tf.data takes."""
    tf.random.set_seed(1)


class FakeBuilder:
    """Ten examples of three 8×8 frames; landmarks say which example they are of."""

    def __init__(self):
        split = types.SimpleNamespace(num_examples=NUM_EXAMPLES)
        self.info = types.SimpleNamespace(splits={"train": split}, full_name="fake/1.0.0")

    def as_dataset(self, split, decoders, read_config):
        del split, decoders, read_config
        frame = tf.io.encode_jpeg(tf.fill((8, 8, 3), tf.constant(128, tf.uint8)))
        return tf.data.Dataset.range(NUM_EXAMPLES).map(
            lambda i: {
                "frames": tf.repeat(frame[None], FRAMES, axis=0),
                "landmarks": tf.fill((FRAMES, 66, 2), tf.cast(i, tf.float32)),
                "landmark_confidence": tf.ones((FRAMES, 66)),
            }
        )


def _take(count, **kwargs):
    arguments = {"num_frames": FRAMES, "global_batch_size": 4, "seed": 7, **kwargs}
    batches = training_batches(FakeBuilder(), **arguments)
    return [batch for batch in batches.take(count)]


def _ids(batches):
    return [batch.landmarks[:, 0, 0, 0].numpy().astype(int).tolist() for batch in batches]


def test_an_epoch_holds_every_example_once_and_the_next_is_in_another_order():
    ids = np.concatenate(_ids(_take(5)))
    first, second = ids[:10].tolist(), ids[10:].tolist()
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_same_seed_same_order_other_seed_other_order():
    assert _ids(_take(4)) == _ids(_take(4)) != _ids(_take(4, seed=8))


def test_a_resumed_run_and_several_workers_see_the_same_augmentation():
    augmentation = Augmentation(colour=0.3, crop=0.1, blur=1.0, flip=True)
    uncut = _take(5, augmentation=augmentation)
    resumed = _take(2, start_step=3, augmentation=augmentation)
    first, second = (
        _take(5, worker=worker, num_workers=2, augmentation=augmentation) for worker in range(2)
    )
    for name in ("frames", "landmarks"):
        values = [getattr(batch, name).numpy() for batch in uncut]
        for a, b in zip(values[3:], resumed, strict=True):
            np.testing.assert_array_equal(a, getattr(b, name))
        for a, b, c in zip(values, first, second, strict=True):
            np.testing.assert_array_equal(a, np.concatenate([getattr(b, name), getattr(c, name)]))
    assert np.ptp(uncut[0].frames, axis=(1, 2, 3)).max() < 1e-5  # what is even stays even
    assert np.unique(uncut[0].frames[:, 0, 0, 0, 0]).size > 2


@pytest.mark.parametrize("start", [1, 3, 7])
def test_a_resumed_run_sees_what_an_uncut_one_would_have(start):
    uncut = _take(start + 3, random_num_frames=True)[start:]
    resumed = _take(3, start_step=start, random_num_frames=True)
    assert _ids(resumed) == _ids(uncut)
    for ours, theirs in zip(resumed, uncut):
        np.testing.assert_array_equal(ours.pool_mask, theirs.pool_mask)


def test_workers_and_replicas_share_each_global_batch():
    whole = _ids(_take(4))
    workers = [_ids(_take(4, worker=worker, num_workers=2)) for worker in range(2)]
    assert [a + b for a, b in zip(*workers)] == whole
    replicas = _ids(_take(8, replicas_per_worker=2))
    assert [a + b for a, b in zip(replicas[::2], replicas[1::2])] == whole


def test_frames_are_padded_and_masked_up_to_the_number_asked_for():
    (batch,) = _take(1, num_frames=5)
    assert batch.frames.shape == (4, 5, 8, 8, 3)
    assert batch.frame_mask.numpy().tolist() == [[True] * 3 + [False] * 2] * 4
    assert not np.any(batch.frames[:, 3:]) and not np.any(batch.landmark_confidence[:, 3:])
    np.testing.assert_allclose(batch.frames[:, :3], 128 / 255, atol=2 / 255)


def test_random_numbers_of_frames_cover_one_to_all():
    batches = _take(20, random_num_frames=True)
    assert all(np.all(batch.frame_mask) for batch in batches)  # each frame is asked for
    masks = np.concatenate([batch.pooled for batch in batches])
    assert set(masks.sum(axis=1)) == {1, 2, 3}
    assert np.all(masks.mean(axis=0) < 0.9)  # any of them, not the first alone


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="fewer than --batch_size"):
        _take(1, global_batch_size=11)
    with pytest.raises(ValueError, match="not a multiple"):
        _take(1, num_workers=3)


def test_evaluation_passes_over_every_example_once_with_its_truth():
    pairs = list(evaluation_examples(FakeBuilder(), "train", 2))
    assert [int(example["landmarks"][0, 0, 0]) for _, example in pairs] == list(range(10))
    assert pairs[0][0].frames.shape == (1, 2, 8, 8, 3)
