"""How far a network's answers lie from the truth: what a refinement weighs the picture against."""

import dataclasses
from collections.abc import Mapping

import numpy as np

PRIOR = "prior/"
"""Of the names of constants in a saved model that are fields of `AnswerPrior`."""


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerPrior:
    """Second moments of truth − answer over people that the network has not learned from.

    In the units of the network's outputs, which `ParameterLayout.join` gives.

    Attributes:
      identity_single: [Z, Z], of identities from one frame.
      identity_pooled: [Z, Z], of identities from several.
      expression: [b, b], of frames.
      landmark_px: [66], robust standard deviation of detected landmarks about true ones, crop px.
      num_people: that they are measured on; a record, on which nothing depends.
    """

    identity_single: np.ndarray
    identity_pooled: np.ndarray
    expression: np.ndarray
    landmark_px: np.ndarray
    num_people: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its fields by name."""
        return {PRIOR + name: value for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "AnswerPrior | None":
        """The inverse of `to_arrays`; None where the arrays hold none."""
        fields = [field.name for field in dataclasses.fields(cls)]
        if PRIOR + fields[0] not in arrays:
            return None
        return cls(**{name: arrays[PRIOR + name] for name in fields})
