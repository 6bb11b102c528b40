"""`train.py`: which people the figures before and after a run are measured on."""

import dataclasses
import json

from fake_data import FakeBuilder

import train
from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.models.building import build_model
from fml_tf.models.saving import save_model

MODEL = ModelConfig(network_width=0.03, crop_size=96, shape_size=4, albedo_size=4)
RUN = TrainConfig(num_frames=2, batch_size=2, pretrain_steps=1, joint_steps=1, finetune_steps=1)


def _splits(tmp_path, monkeypatch, splits):
    """The splits of `metrics_before.json` and `metrics.json` of a run on data with some splits."""
    builder = FakeBuilder(splits=splits)
    monkeypatch.setattr(train, "open_dataset", lambda *_: builder)
    save_model(build_model(MODEL), str(tmp_path / "initial"))
    config = dataclasses.replace(RUN, initial_checkpoint=str(tmp_path / "initial"))
    train.train(MODEL, config, str(tmp_path / "run"))
    before, after = (
        json.loads((tmp_path / "run" / f"{name}.json").read_text())
        for name in ("metrics_before", "metrics")
    )
    assert before.keys() < after.keys()
    return before["split"], after["split"]


def test_test_people_are_measured_at_the_end_alone(tmp_path, monkeypatch):
    splits = _splits(tmp_path, monkeypatch, ("train", "validation", "test"))
    assert splits == ("validation", "test")


def test_before_and_after_compare_where_there_is_no_validation(tmp_path, monkeypatch):
    assert _splits(tmp_path, monkeypatch, ("train", "test")) == ("test", "test")
