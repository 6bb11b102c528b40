"""The stages of a training run (paper, section 4): what is learned in each, and how fast."""

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence

from fml_tf.config import TrainConfig
from fml_tf.models.reconstructor import EditIdentity, hold_at_mean

NEVER = 2**62
"""A step that no run comes to."""
_OF_CORRECTIVES = (
    "robust_visible_photometric",
    "corrective_smoothness",
    "corrective_size",
    "reflectance_sparsity",
    "reflectance_constancy",
)
"""Terms that are left out where there are no correctives."""


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Ends a stage early: a figure of the validation that has fallen below a bound.

    Attributes:
      measure: name of the figure.
      below: the bound.
    """

    measure: str
    below: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
      name: for logs.
      steps: how many, at most.
      rates: learning rate of each group of weights; a group that is not named is held.
      steady: groups whose rates do not fall as the run goes on.
      edit_identity: see `FaceReconstructor.encode`.
      without: terms of the objective that are left out.
      until: what ends it before its steps are over; the next stage then takes the steps that are
        left.
    """

    name: str
    steps: int
    rates: Mapping[str, float]
    steady: Collection[str] = ()
    edit_identity: EditIdentity | None = None
    without: Collection[str] = ()
    until: Criterion | None = None


def stages_of(
    config: TrainConfig, groups: Collection[str], base_level: EditIdentity | None = None
) -> tuple[Stage, ...]:
    """The stages of a run, those that have no steps included.

    Three are FML's. A model of two levels learns its base level before its correctives (multi-level
    paper, section 7): in the stage "base".

    Args:
      config: of the run.
      groups: names of the model's groups of weights.
      base_level: of its face model.

    Raises:
      ValueError: a group of weights without a learning rate, or --base_steps for a model without a
        base level.
    """
    if config.base_steps and base_level is None:
        raise ValueError("--base_steps: the face model has no base level")
    for group in groups:
        if not hasattr(config, f"{group}_learning_rate"):
            raise ValueError(f"the weights {group!r} have no --{group}_learning_rate")
    rates = {group: getattr(config, f"{group}_learning_rate") for group in groups}
    finetune = {"albedo": config.finetune_albedo_learning_rate} if "albedo" in rates else {}
    bound = config.pretrain_until_landmark_px
    pretrain = Stage(
        "pretrain",
        config.pretrain_steps,
        {"network": config.network_learning_rate},
        edit_identity=hold_at_mean,
        until=Criterion("landmark_px", bound) if bound else None,
    )
    base = Stage(
        "base",
        config.base_steps,
        {"network": config.base_learning_rate},
        edit_identity=base_level,
        without=_OF_CORRECTIVES,
    )
    return (
        pretrain,
        *([base] if base_level else []),
        Stage("joint", config.joint_steps, rates),
        # The rate is to be higher than before (section 4), so it cannot fall with the others.
        Stage("finetune", config.finetune_steps, rates | finetune, steady=tuple(finetune)),
    )


class Schedule:
    """Where in its stages a run is.

    Args:
      stages: in order.
      final_fraction: rates that are not steady fall along a cosine, over all steps, to this share
        of themselves.

    Attributes:
      ended: the steps before which criteria ended the stages; `NEVER` where none did.
    """

    def __init__(self, stages: Sequence[Stage], final_fraction: float = 1.0):
        self.stages = tuple(stages)
        self.ended = [NEVER] * len(self.stages)
        self._planned = list(itertools.accumulate(stage.steps for stage in stages))
        self._final_fraction = final_fraction

    @property
    def ends(self) -> list[int]:
        """The step before which each stage ends."""
        return [min(planned, ended) for planned, ended in zip(self._planned, self.ended)]

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return self.ends[-1]

    def index_at(self, step: int) -> int:
        """Number of the stage that the step `step`, counted from 0, belongs to."""
        return next(i for i, end in enumerate(self.ends) if step < end)

    def rates_at(self, step: int) -> dict[str, float]:
        """Learning rates of the step `step` by group."""
        decay = self._final_fraction + (1.0 - self._final_fraction) * 0.5 * (
            1.0 + math.cos(math.pi * step / self.total_steps)
        )
        stage = self.stages[self.index_at(step)]
        return {
            group: rate if group in stage.steady else rate * decay
            for group, rate in stage.rates.items()
        }

    def end_stage(self, step: int) -> None:
        """Ends the stage of step `step` - 1 before `step`; the last stage cannot be ended."""
        index = self.index_at(step - 1)
        if index + 1 < len(self.stages):
            self.ended[index] = step
