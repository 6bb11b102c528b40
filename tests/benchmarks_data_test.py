"""The benchmarks of preprocessing and input pipeline run and measure what they say."""

import types

import numpy as np
from fake_data import FakeBuilder

from benchmarks import input_pipeline
from benchmarks import preprocessing as benchmark
from datasets.video_faces.dummy_videos import portrait_frames, write_video
from fml_tf.config import TrainConfig
from fml_tf.geometry.crop import CropTransform


def _frame(left, top, width):
    return types.SimpleNamespace(transform=CropTransform(left, top, width, 240))


def test_corner_distances_are_in_pixels_of_the_crop():
    ours = {3: _frame(100, 50, 480), 7: _frame(10, 10, 240), 9: _frame(0, 0, 240)}
    others = {3: _frame(106, 58, 480), 7: _frame(10, 10, 243), 8: _frame(0, 0, 240)}
    distances = benchmark.corner_distances(ours, others)
    np.testing.assert_allclose(distances, [[5, 5], [0, 3 * np.sqrt(2)]])


def test_both_ways_find_the_same_crops_and_the_parts_make_up_the_time(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, portrait_frames(10))
    ways = benchmark.Ways()
    fast, seconds = benchmark.seconds_of_parts(ways.fast, path)
    plain, _ = benchmark.seconds_of_parts(ways.plain_looks, path)
    assert fast.keys() == plain.keys() == set(range(10))
    assert np.median(benchmark.corner_distances(fast, plain)) < 1
    parts = {name: value for name, value in seconds.items() if name != "all"}
    assert all(value > 0 for value in parts.values())
    assert 0.6 * seconds["all"] < sum(parts.values()) < 1.05 * seconds["all"]
    assert parts["encoding"] < parts["landmarks"]


def test_the_pipeline_delivers():
    config = TrainConfig(batch_size=2, num_frames=2)
    augmentation = input_pipeline.AUGMENTATION
    assert input_pipeline.delivered(FakeBuilder(), config, augmentation, seconds=0.05) > 1
