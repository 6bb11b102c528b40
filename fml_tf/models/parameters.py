"""How a vector that a network regresses is cut into named parameters."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Parameter:
    """A named part of a vector: value = offset + scale · output.

    Attributes:
      name: key in `FaceParameters`.
      shape: of one value.
      scale: number or array that broadcasts to `shape`, so that outputs of size 1 are plausible;
        None for 1.
      offset: likewise, the value that a head at zero gives; None for 0.
      copies: the last axis of a value repeats one number so many times.
    """

    name: str
    shape: tuple[int, ...]
    scale: float | np.ndarray | None = None
    offset: np.ndarray | None = None
    copies: int = 1

    @property
    def size(self) -> int:
        """How many numbers it takes."""
        return math.prod(self.shape) // self.copies


class ParameterLayout:
    """The parameters of a vector, in their order.

    Args:
      parameters: the parts.
    """

    def __init__(self, parameters: Iterable[Parameter]):
        self.parameters = tuple(parameters)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(parameter.name for parameter in self.parameters)

    def split(self, outputs) -> dict[str, tf.Tensor]:
        """Outputs [..., size] → values [..., *shape] by name."""
        parts = tf.split(outputs, [parameter.size for parameter in self.parameters], axis=-1)
        batch_shape = tf.shape(outputs)[:-1]
        values = {}
        for parameter, part in zip(self.parameters, parts):
            if parameter.copies > 1:
                part = tf.repeat(part, parameter.copies, axis=-1)
            if len(parameter.shape) != 1:
                shape = tf.concat([batch_shape, parameter.shape], axis=0)
                static = (*outputs.shape[:-1], *parameter.shape)
                part = tf.ensure_shape(tf.reshape(part, shape), static)
            if parameter.scale is not None:
                part *= parameter.scale
            if parameter.offset is not None:
                part += parameter.offset
            values[parameter.name] = part
        return values

    def join(self, values) -> tf.Tensor:
        """The inverse of `split`: values [..., *shape] by name → outputs [..., size]."""
        parts = []
        for parameter in self.parameters:
            part = values[parameter.name]
            if parameter.offset is not None:
                part -= parameter.offset
            if parameter.scale is not None:
                part /= parameter.scale
            rank = len(parameter.shape)
            if parameter.copies > 1:
                part = tf.reduce_mean(part, axis=-1, keepdims=True)
            if rank != 1:
                shape = tf.concat([tf.shape(part)[:-rank], [parameter.size]], axis=0)
                part = tf.reshape(part, shape)
            parts.append(part)
        return tf.concat(parts, axis=-1)
