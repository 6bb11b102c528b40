"""Flags made of configs: they round-trip, and refuse what no run can use."""

import dataclasses

import pytest
from absl import flags

from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags


def _parse(config_class, *arguments):
    values = flags.FlagValues()
    define_flags(config_class, "config_test", values)
    values(["config_test", *arguments])
    return from_flags(config_class, values)


@pytest.mark.parametrize("config_class", [ModelConfig, TrainConfig])
def test_every_field_is_a_flag_with_help_and_comes_back_from_it(config_class):
    assert _parse(config_class) == config_class()
    values = flags.FlagValues()
    define_flags(config_class, "config_test", values)
    assert all(values[field.name].help for field in dataclasses.fields(config_class))


def test_arguments_reach_their_fields():
    config = _parse(TrainConfig, "--batch_size=2", "--random_num_frames", "--seed=7")
    expected = dataclasses.replace(TrainConfig(), batch_size=2, random_num_frames=True, seed=7)
    assert config == expected


@pytest.mark.parametrize(
    ("config_class", "argument"),
    [
        (TrainConfig, "--batch_size=0"),
        (TrainConfig, "--num_frames=0"),
        (TrainConfig, "--log_every=0"),
        (TrainConfig, "--joint_steps=-1"),
        (TrainConfig, "--smoothness_weight=-0.5"),
        (TrainConfig, "--distribution=parallel"),
        (ModelConfig, "--crop_size=32"),
        (ModelConfig, "--network_width=0"),
        (ModelConfig, "--template_resolution=5k"),
    ],
)
def test_a_value_that_no_run_can_use_is_refused_by_its_flag(config_class, argument):
    with pytest.raises(flags.IllegalFlagValueError, match=argument.split("=")[0][2:]):
        _parse(config_class, argument)
