"""Stages and learning rates by step, and criteria that end a stage."""

import dataclasses
import itertools

import pytest

from fml_tf.config import TrainConfig
from fml_tf.losses.objective import LOSSES
from fml_tf.models.reconstructor import hold_at_mean
from fml_tf.training.schedule import Criterion, Schedule, stages_of

CONFIG = TrainConfig(
    pretrain_steps=10,
    joint_steps=20,
    finetune_steps=5,
    network_learning_rate=1.0,
    shape_learning_rate=2.0,
    albedo_learning_rate=3.0,
    finetune_albedo_learning_rate=30.0,
)
GROUPS = ("network", "shape", "albedo")


def _schedule(groups=GROUPS, final=1.0, **changes):
    return Schedule(stages_of(dataclasses.replace(CONFIG, **changes), groups), final)


def test_stages_follow_each_other():
    schedule = _schedule()
    names = [schedule.stages[schedule.index_at(step)].name for step in range(35)]
    assert names == ["pretrain"] * 10 + ["joint"] * 20 + ["finetune"] * 5
    assert schedule.total_steps == 35


def test_identity_is_left_alone_in_pretraining_and_the_albedo_speeds_up_at_the_end():
    schedule = _schedule()
    assert schedule.stages[0].edit_identity is hold_at_mean
    assert all(stage.edit_identity is None for stage in schedule.stages[1:])
    assert schedule.rates_at(9) == {"network": 1.0}
    assert schedule.rates_at(10) == {"network": 1.0, "shape": 2.0, "albedo": 3.0}
    assert schedule.rates_at(34) == {"network": 1.0, "shape": 2.0, "albedo": 30.0}


def test_a_model_of_two_levels_learns_its_base_before_its_correctives():
    def base_level(identity):
        return identity

    config = dataclasses.replace(CONFIG, base_steps=7, base_learning_rate=5.0)
    schedule = Schedule(stages_of(config, GROUPS, base_level))
    names = [schedule.stages[schedule.index_at(step)].name for step in range(42)]
    assert names == ["pretrain"] * 10 + ["base"] * 7 + ["joint"] * 20 + ["finetune"] * 5
    base = schedule.stages[1]
    assert base.edit_identity is base_level
    assert schedule.rates_at(10) == {"network": 5.0}
    assert "robust_visible_photometric" in base.without
    assert "base_photometric" not in base.without
    assert set(base.without) < set(LOSSES)
    with pytest.raises(ValueError, match="--base_steps: the face model has no base level"):
        stages_of(config, GROUPS)


def test_a_model_without_learned_bases_has_one_rate():
    assert _schedule(groups=("network",)).rates_at(34) == {"network": 1.0}


def test_a_group_without_a_rate_is_refused():
    with pytest.raises(ValueError, match="'eyes' have no --eyes_learning_rate"):
        _schedule(groups=("network", "eyes"))


def test_decay_starts_at_the_rate_and_ends_at_its_fraction():
    schedule = _schedule(final=0.1)
    rates = [schedule.rates_at(step)["network"] for step in range(35)]
    assert rates[0] == pytest.approx(1.0) and rates[-1] == pytest.approx(0.1, abs=0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


def test_the_albedo_is_faster_in_fine_tuning_than_ever_before_in_spite_of_the_decay():
    schedule = _schedule(final=0.1)
    albedo = [schedule.rates_at(step)["albedo"] for step in range(10, 35)]
    assert albedo[20:] == [30.0] * 5 and max(albedo[:20]) < 3.0
    assert schedule.rates_at(34)["network"] == pytest.approx(0.1, abs=0.01)


def test_a_stage_can_be_left_out():
    schedule = _schedule(pretrain_steps=0)
    assert schedule.stages[schedule.index_at(0)].name == "joint"


def test_a_stage_that_is_ended_early_leaves_its_steps_to_the_next():
    schedule = _schedule(pretrain_until_landmark_px=5.0)
    assert schedule.stages[0].until == Criterion("landmark_px", 5.0)
    schedule.end_stage(4)
    names = [schedule.stages[schedule.index_at(step)].name for step in range(35)]
    assert names == ["pretrain"] * 4 + ["joint"] * 26 + ["finetune"] * 5
    schedule.end_stage(35)  # the last stays as it is
    assert schedule.total_steps == 35
    longer = _schedule(pretrain_until_landmark_px=5.0, joint_steps=30)
    longer.ended = schedule.ended
    assert longer.ends == [4, 40, 45]
