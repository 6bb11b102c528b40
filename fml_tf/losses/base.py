"""What a term of the training objective is."""

import abc
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from fml_tf.structures import DecodedFaces, FaceParameters, MultiFrameBatch


class LossValue(NamedTuple):
    """What a term says of a batch.

    Attributes:
      value: scalar, a mean over people.
      measures: figures of each frame beside it, [B, M] by name; those of masked frames mean
        nothing.
    """

    value: tf.Tensor
    measures: Mapping[str, tf.Tensor] = {}


class Loss(abc.ABC):
    """One term; made for a model (`FaceReconstructor`), whose constants it keeps.

    Attributes:
      normaliser: its weight is divided by it.
      needs_truth: whether it reads `batch.truth`.
      of_base_level: the faces that it is given are those of the face model's `base_level`.
    """

    normaliser: float = 1.0
    needs_truth: bool = False
    of_base_level: bool = False

    @abc.abstractmethod
    def __call__(
        self, batch: MultiFrameBatch, parameters: FaceParameters, faces: DecodedFaces
    ) -> LossValue:
        """The term of a decoded batch."""
