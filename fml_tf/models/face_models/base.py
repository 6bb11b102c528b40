"""What a face model is."""

import abc
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from fml_tf.models.parameters import ParameterLayout
from fml_tf.structures import FaceParameters, Identity
from fml_tf.template.expression_basis import ExpressionBasis
from fml_tf.template.face_template import FaceTemplate


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
    """

    def __init__(
        self,
        template: FaceTemplate,
        expression_basis: ExpressionBasis,
        identity_layout: ParameterLayout,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.template = template
        self.expression_basis = expression_basis
        self.identity_layout = identity_layout
        self.num_vertices = template.num_vertices
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
