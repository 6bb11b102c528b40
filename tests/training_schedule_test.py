"""Stages and learning rates by step."""

import dataclasses
import itertools

import pytest

from fml_tf.config import TrainConfig
from fml_tf.training.schedule import LearningRates, Stage, learning_rates_at, stage_at

CONFIG = TrainConfig(
    pretrain_steps=10,
    joint_steps=20,
    finetune_steps=5,
    network_learning_rate=1.0,
    shape_learning_rate=2.0,
    albedo_learning_rate=3.0,
    finetune_albedo_learning_rate=30.0,
)


def test_stages_follow_each_other():
    stages = [stage_at(step, CONFIG) for step in range(35)]
    assert stages == [Stage.PRETRAIN] * 10 + [Stage.JOINT] * 20 + [Stage.FINETUNE] * 5


def test_identity_is_left_alone_in_pretraining_and_the_albedo_speeds_up_at_the_end():
    assert learning_rates_at(9, CONFIG) == LearningRates(1.0, 0.0, 0.0)
    assert learning_rates_at(10, CONFIG) == LearningRates(1.0, 2.0, 3.0)
    assert learning_rates_at(34, CONFIG) == LearningRates(1.0, 2.0, 30.0)


def test_decay_starts_at_the_rate_and_ends_at_its_fraction():
    config = dataclasses.replace(CONFIG, final_learning_rate_fraction=0.1)
    rates = [learning_rates_at(step, config).network for step in range(36)]
    assert rates[0] == pytest.approx(1.0) and rates[35] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


def test_a_stage_can_be_left_out():
    assert stage_at(0, dataclasses.replace(CONFIG, pretrain_steps=0)) is Stage.JOINT
