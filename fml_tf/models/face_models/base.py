"""What a face model is."""

import abc
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from fml_tf.models.parameters import ParameterLayout
from fml_tf.structures import FaceParameters, Identity
from fml_tf.template.expression_basis import ExpressionBasis
from fml_tf.template.face_template import FaceTemplate

EXPRESSION = "expression/"
"""Of the names of constants that are fields of `ExpressionBasis`."""


class FactoredGradient(NamedTuple):
    """The gradient left @ right of a matrix, [P, K] and [K, Q] with a small K."""

    variable: tf.Variable
    left: tf.Tensor
    right: tf.Tensor


class FaceDecoder(abc.ABC):
    """What forms faces: a face model that learns, or a folded one that serves."""

    @abc.abstractmethod
    def identity(self, parameters: Mapping[str, tf.Tensor]) -> Identity:
        """Parameters [B, size] by name → B people."""

    @abc.abstractmethod
    def expression_displacements(self, expression) -> tf.Tensor:
        """B·δ of equation (3). [N, b] → [V, 3, N] mm."""


class FoldedFaceModel(FaceDecoder):
    """A face model with what is constant after training multiplied out.

    Attributes:
      stored: all that it reads.
    """

    stored: list[tf.Variable]


class FaceModel(FaceDecoder, keras.layers.Layer):
    """Parameters → neutral shape and albedo of people, and displacements of expressions.

    Args:
      template: the face template.
      expression_basis: B with σ.
      identity_layout: its parameters of a person.
      mean_shape: [V, 3] float32 mm, the face of an identity of zeros; the template's, if not given.

    Attributes:
      corrective_names: of a model of two levels, the parameters of a person that the base level
        goes without; `identity` takes parameters without them, too.
      base_level: of such a model, an `EditIdentity` that sets them to zero.
    """

    corrective_names: tuple[str, ...] = ()
    base_level: Callable[[dict[str, tf.Tensor]], Mapping[str, tf.Tensor]] | None = None

    def __init__(
        self,
        template: FaceTemplate,
        expression_basis: ExpressionBasis,
        identity_layout: ParameterLayout,
        mean_shape: np.ndarray | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.template = template
        self.expression_basis = expression_basis
        self.identity_layout = identity_layout
        self.num_vertices = template.num_vertices
        self.mean_shape = template.mean_shape if mean_shape is None else mean_shape
        with tf.init_scope():
            # [3V, b], rows vertex-major.
            basis = expression_basis.basis
            self._expression_basis = tf.constant(basis.reshape(len(basis), -1).T, tf.float32)

    def expression_displacements(self, expression):
        """See `FaceDecoder.expression_displacements`."""
        displacements = tf.matmul(self._expression_basis, expression, transpose_b=True)
        return tf.reshape(displacements, (self.num_vertices, 3, -1))

    @abc.abstractmethod
    def weight_groups(self) -> dict[str, list[tf.Variable]]:
        """All trainable weights by the name of the group that gets one learning rate."""

    def factored_weights(self) -> list[tf.Variable]:
        """The weights whose gradients `factored_gradients` gives; none, unless a model has such."""
        return []

    def factored_gradients(
        self, parameters: FaceParameters, albedo_gradient
    ) -> list[FactoredGradient | tuple[tf.Variable, tf.Tensor]]:
        """Gradients of `factored_weights` from the gradient that reaches the albedo.

        They are whole as long as the losses see these weights through the albedo alone; the
        training step refuses any other loss.

        Args:
          parameters: of the batch.
          albedo_gradient: [V, 3, B] with respect to `Identity.albedo`; B is static.

        Returns:
          One for each of these weights: factored, or the variable with its gradient.
        """
        del parameters, albedo_gradient
        return []

    @abc.abstractmethod
    def constants(self) -> dict[str, np.ndarray]:
        """What was derived from the template and gives the weights their meaning, by name.

        The constructor takes it back instead of deriving it again.
        """

    @abc.abstractmethod
    def folded(self, dtype: str = "float32") -> FoldedFaceModel:
        """The same faces from fewer operations, for serving.

        Args:
          dtype: of the stored bases, "float32", "bfloat16" or "float16"; all is computed in
            float32.

        Raises:
          ValueError: a basis that overflows in `dtype`, or is not finite.
        """


def below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
