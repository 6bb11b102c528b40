"""What a protocol is: a list of cases, and how a prediction of one is scored."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fml_tf.evaluation.predictions import Frame, Prediction
from fml_tf.evaluation.predictors import Method, ModelPredictor


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a protocol.

    Attributes:
      name: key of the figure.
      unit: such as "mm".
      meaning: one line for tables.
    """

    name: str
    unit: str
    meaning: str


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A person, or a mesh, with its pictures and its truth.

    Attributes:
      name: unique in the data set.
      frames: its pictures, in a fixed order.
      truth: whatever the protocol scores against.
    """

    name: str
    frames: Sequence[Frame]
    truth: object


@dataclasses.dataclass(frozen=True, eq=False)
class ErrorMap:
    """A scored shape as a picture shows it; both meshes in the truth's space, aligned.

    Attributes:
      truth_vertices: [V, 3] mm.
      truth_triangles: [F, 3].
      errors: [V] mm, NaN where not measured.
      vertices: [V', 3] the predicted shape, aligned.
      triangles: [F', 3].
      seven: [7, 3] its seven landmarks, aligned: they show where its front is.
    """

    truth_vertices: np.ndarray
    truth_triangles: np.ndarray
    errors: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    seven: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """The figures of one prediction.

    Attributes:
      figures: by the measures' names; what does not apply (albedo of a bare mesh) is not there.
      distances: [P] mm behind the main figure, for the cumulative curve; empty where it is none.
      error_map: for pictures; None where there is no shape to show.
    """

    figures: Mapping[str, float]
    distances: np.ndarray
    error_map: ErrorMap | None


class Protocol(abc.ABC):
    """A data set with its measures. It yields cases and scores shapes.

    Attributes:
      name: of the data set.
      settings: all that the figures depend on beside the prediction; JSON.
      measures: the first is the main one.
      template_region: [V] bool, the vertices of the "4k" template that distances are at, in their
        order; None where they are at a scan's.
      expressive: it scores the face with each frame's expression; False: the neutral shape.
    """

    name: str
    settings: Mapping
    measures: Sequence[Measure]
    template_region: np.ndarray | None
    expressive: bool = False

    @abc.abstractmethod
    def cases(self) -> Mapping[str, int]:
        """Names of all cases with the number of frames of each, in a fixed order.

        A case may turn out to have fewer, such as a short video.
        """

    def subset(self, name: str) -> str:
        """The part of the data set that a case belongs to; "" where results are not split."""
        del name
        return ""

    def person(self, name: str) -> str:
        """Whom a case shows: cases of one person are not independent."""
        return name

    def model_methods(
        self, predictor: ModelPredictor, num_frames: Sequence[int | None]
    ) -> list[Method]:
        """What is scored of a model.

        Args:
          predictor: the model.
          num_frames: values of M at test, ascending; None for all frames of a case.

        Raises:
          ValueError: M that the protocol does not have.
        """
        return predictor.methods(num_frames)

    @abc.abstractmethod
    def load(self, name: str) -> Case:
        """Reads a case.

        Raises:
          OSError, ValueError: a file is missing or damaged; the message names it.
        """

    @abc.abstractmethod
    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """Scores what was predicted from the frames of those numbers.

        Raises:
          ValueError: a prediction that cannot be scored.
        """
