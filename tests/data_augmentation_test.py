"""Augmentation: what is drawn in a picture stays under its landmarks, and seeds decide all."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from fml_tf.config import TrainConfig
from fml_tf.data.augmentation import Augmentation, augment, augmentation_of
from fml_tf.geometry.landmark_order import MIRROR_66

SIZE, FRAMES = 96, 3
EVERYTHING = Augmentation(colour=0.3, crop=0.05, blur=1.5, flip=True)


def _example(blobs=(30, 7, 55)):
    """Dark frames in which a few landmarks are marked by bright dots, a colour each."""
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(25, SIZE - 25, (FRAMES, 66, 2)).astype(np.float32)
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), np.float32)
    for m in range(FRAMES):
        for channel, index in enumerate(blobs):
            v, u = np.mgrid[:SIZE, :SIZE] + 0.5 - landmarks[m, index, ::-1, None, None]
            frames[m, ..., channel] = 0.9 * np.exp(-(u**2 + v**2) / 18)
    return {
        "frames": tf.constant(frames),
        "frame_mask": tf.constant([True] * FRAMES),
        "landmarks": tf.constant(landmarks),
        "landmark_confidence": tf.constant(rng.uniform(size=(FRAMES, 66)).astype(np.float32)),
    }


def _augment(augmentation, key=(3, 5), example=None):
    return augment(example or _example(), augmentation, tf.constant(key, tf.int64))


def _centres(frames):
    """Centres of mass [M, 3, 2] of each channel, crop px."""
    v, u = np.mgrid[:SIZE, :SIZE] + 0.5
    frames = np.asarray(frames)
    total = frames.sum(axis=(1, 2))
    return np.stack([np.einsum("mhwc,hw->mc", frames, x) / total for x in (u, v)], axis=-1)


def _key_that_flips():
    flipped = {}
    for n in range(20):
        moved = _augment(Augmentation(flip=True), (3, n))["frames"]
        flipped[not np.array_equal(moved, _example()["frames"])] = (3, n)
    return flipped[True]


@pytest.mark.parametrize("key", [(0, 0), (1, 2), (9, 123456)])
def test_what_is_drawn_stays_under_its_landmark_as_crops_move(key):
    before = _example()
    after = _augment(Augmentation(crop=0.06), key)
    np.testing.assert_allclose(
        _centres(after["frames"]), after["landmarks"].numpy()[:, [30, 7, 55]], atol=0.1
    )
    shifts = (after["landmarks"] - before["landmarks"]).numpy().mean(axis=1)
    assert np.abs(shifts).max() > 0.5  # it did move, each frame by itself
    assert np.ptp(shifts, axis=0).max() > 0.5


def test_a_mirror_permutes_the_landmarks_and_their_confidences():
    before, after = _example(), _augment(Augmentation(flip=True), _key_that_flips())
    np.testing.assert_array_equal(after["frames"], before["frames"][:, :, ::-1])
    # The dot at landmark 30 (nose tip) is at 30 again; that at 7 (chin, right) is now at 9.
    positions = after["landmarks"].numpy()[:, [MIRROR_66[i] for i in (30, 7, 55)]]
    np.testing.assert_allclose(_centres(after["frames"]), positions, atol=0.02)
    assert MIRROR_66[7] == 9 and MIRROR_66[36] == 45 and MIRROR_66[30] == 30
    np.testing.assert_array_equal(
        after["landmark_confidence"][:, 9], before["landmark_confidence"][:, 7]
    )


def test_blur_blurs_but_moves_nothing():
    before, after = _example(), _augment(Augmentation(blur=3.0))
    np.testing.assert_allclose(_centres(after["frames"]), _centres(before["frames"]), atol=0.02)
    np.testing.assert_array_equal(after["landmarks"], before["landmarks"])
    peaks = after["frames"].numpy().max(axis=(1, 2, 3))
    assert (peaks < 0.9).all() and np.ptp(peaks) > 0.01  # each frame by its own amount


def test_blur_is_a_gaussian():
    # A line of blur 3 from an edge: the profile is the Gaussian's integral, whatever its width.
    frames = np.zeros((1, SIZE, SIZE, 3), np.float32)
    frames[:, :, SIZE // 2 :] = 1
    example = {**_example(), "frames": tf.constant(frames), "frame_mask": tf.constant([True])}
    example["landmarks"] = example["landmarks"][:1]
    example["landmark_confidence"] = example["landmark_confidence"][:1]
    blurred = _augment(Augmentation(blur=3.0), example=example)["frames"].numpy()[0]
    errors = [
        np.abs(cv2.GaussianBlur(frames[0], (0, 0), s) - blurred).max()
        for s in np.linspace(0.2, 3, 57)
    ]
    assert min(errors) < 0.02


def test_colours_change_alike_in_all_frames_and_stay_colours():
    frames = np.random.default_rng(1).uniform(size=(1, SIZE, SIZE, 3)).astype(np.float32)
    example = {**_example(), "frames": tf.repeat(tf.constant(frames), FRAMES, axis=0)}
    results = [_augment(Augmentation(colour=0.6), (0, n), example)["frames"] for n in range(8)]
    for result in results:
        np.testing.assert_array_equal(result[0], result[1])
        assert result.numpy().min() >= 0 and result.numpy().max() <= 1
    means = np.array([result.numpy().mean(axis=(0, 1, 2)) for result in results])
    assert means.std(axis=0).min() > 0.03 and np.ptp(means, axis=1).max() > 0.02


def test_frames_that_are_not_there_stay_black():
    example = {**_example(), "frame_mask": tf.constant([True, False, True])}
    assert not np.any(_augment(EVERYTHING, example=example)["frames"][1])


def test_the_same_key_gives_the_same_eagerly_and_in_a_pipeline():
    eager = _augment(EVERYTHING)
    pipeline = tf.data.Dataset.from_tensors(_example()).map(
        lambda example: augment(example, EVERYTHING, tf.constant((3, 5), tf.int64))
    )
    (piped,) = pipeline
    for name, values in eager.items():
        np.testing.assert_allclose(piped[name], values, atol=1e-5)
    other = _augment(EVERYTHING, (3, 6))
    assert np.abs(other["frames"] - eager["frames"]).max() > 0.05


def test_nothing_is_changed_unless_flags_ask():
    assert augmentation_of(TrainConfig()) == Augmentation()
    after = _augment(Augmentation())
    for name, values in _example().items():
        np.testing.assert_array_equal(after[name], values)
    config = TrainConfig(augment_colour=0.1, augment_crop=0.2, augment_blur=3.0, augment_flip=True)
    assert augmentation_of(config) == Augmentation(0.1, 0.2, 3.0, True)
