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


def test_test_people_are_measured_at_the_end_alone(tmp_path, monkeypatch):
    builder = FakeBuilder(splits=("train", "validation", "test"))
    monkeypatch.setattr(train, "open_dataset", lambda *_: builder)
    save_model(build_model(MODEL), str(tmp_path / "initial"))
    config = dataclasses.replace(RUN, initial_checkpoint=str(tmp_path / "initial"))
    train.train(MODEL, config, str(tmp_path / "run"))
    figures = {
        name: json.loads((tmp_path / "run" / f"{name}.json").read_text())
        for name in ("metrics_before", "metrics")
    }
    assert figures["metrics_before"]["split"] == "validation"
    assert figures["metrics"]["split"] == "test"
    assert figures["metrics_before"].keys() < figures["metrics"].keys()
