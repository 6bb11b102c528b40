"""The three stages of the paper's training (section 4) as learning rates by step."""

import dataclasses
import enum
import math

from fml_tf.config import TrainConfig


class Stage(enum.Enum):
    """What is trained."""

    PRETRAIN = "pretrain"  # pose, light, expression; the identity is held at the mean
    JOINT = "joint"  # everything
    FINETUNE = "finetune"  # everything, with a higher rate for the albedo


@dataclasses.dataclass(frozen=True)
class LearningRates:
    """Rates of the three groups of weights; 0 where the stage leaves a group alone."""

    network: float
    shape: float
    albedo: float


def stage_at(step: int, config: TrainConfig) -> Stage:
    """The stage that the step `step`, counted from 0, belongs to."""
    if step < config.pretrain_steps:
        return Stage.PRETRAIN
    if step < config.pretrain_steps + config.joint_steps:
        return Stage.JOINT
    return Stage.FINETUNE


def learning_rates_at(step: int, config: TrainConfig) -> LearningRates:
    """Learning rates of the step `step`, counted from 0."""
    progress = step / max(config.total_steps, 1)
    final = config.final_learning_rate_fraction
    decay = final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
    stage = stage_at(step, config)
    if stage is Stage.PRETRAIN:
        return LearningRates(config.network_learning_rate * decay, 0.0, 0.0)
    albedo = (
        config.albedo_learning_rate
        if stage is Stage.JOINT
        else config.finetune_albedo_learning_rate
    )
    return LearningRates(
        network=config.network_learning_rate * decay,
        shape=config.shape_learning_rate * decay,
        albedo=albedo * decay,
    )
