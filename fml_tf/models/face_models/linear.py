"""A statistical face model as it is: MoFA's and Deep3D's (equations (2) to (4) of either)."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.face_models.base import EXPRESSION, FaceModel, FoldedFaceModel, below
from fml_tf.models.face_models.folding import combine, stored
from fml_tf.models.parameters import Parameter, ParameterLayout
from fml_tf.structures import Identity
from fml_tf.template.expression_basis import ExpressionBasis, expression_basis
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.statistical_prior import FacePrior, load_prior

_PRIOR = "statistical_prior/"


class LinearFaceModel(FaceModel):
    """Shape and albedo coefficients, N(0, 1) → neutral shape and albedo; nothing is learned.

    Args:
      template: the face template.
      config: names and sizes.
      constants: see `FaceModel.constants`.
      extra_parameters: of a person, beside the coefficients.
    """

    def __init__(
        self,
        template: FaceTemplate,
        config: ModelConfig,
        constants: Mapping[str, np.ndarray] | None = None,
        extra_parameters: tuple[Parameter, ...] = (),
        **kwargs,
    ):
        if constants is None:
            prior = load_prior(config.prior, template, config.prior_size, config.template)
            basis = expression_basis(template, config.expression_basis, config.expression_variance)
        else:
            prior = FacePrior.from_arrays(below(constants, _PRIOR))
            basis = ExpressionBasis.from_arrays(below(constants, EXPRESSION))
        layout = ParameterLayout(
            [
                Parameter("shape", (len(prior.shape_basis),)),
                Parameter("albedo", (len(prior.albedo_basis),)),
                *extra_parameters,
            ]
        )
        super().__init__(template, basis, layout, prior.mean_shape, **kwargs)
        self.config = config
        self.prior = prior
        with tf.init_scope():
            self._mean_shape = tf.constant(prior.mean_shape[..., None])
            self._mean_albedo = tf.constant(prior.mean_albedo[..., None])
            self._shape_basis = tf.constant(columns(prior.shape_basis))
            self._albedo_basis = tf.constant(columns(prior.albedo_basis))

    def build(self, input_shape=None):
        """There are no weights."""
        del input_shape

    def identity(self, parameters):
        """See `FaceDecoder.identity`."""
        shape = tf.matmul(self._shape_basis, parameters["shape"], transpose_b=True)
        albedo = tf.matmul(self._albedo_basis, parameters["albedo"], transpose_b=True)
        size = (self.num_vertices, 3, -1)
        return Identity(
            neutral_vertices=self._mean_shape + tf.reshape(shape, size),
            albedo=self._mean_albedo + tf.reshape(albedo, size),
        )

    def weight_groups(self):
        """None."""
        return {}

    def constants(self):
        """The statistical model, and the expression basis with σ."""
        arrays = {_PRIOR + name: value for name, value in self.prior.to_arrays().items()}
        expression = self.expression_basis.to_arrays()
        return arrays | {EXPRESSION + name: value for name, value in expression.items()}

    def folded(self, dtype="float32"):
        """The same products, with stored bases."""
        return FoldedLinearFaceModel(
            self, self.prior.shape_basis, self.prior.albedo_basis, ("shape",), ("albedo",), dtype
        )


class FoldedLinearFaceModel(FoldedFaceModel):
    """See `FaceModel.folded`.

    Args:
      model: whose means and expressions it has.
      shape_basis, albedo_basis: [k, V, 3] of all coefficients.
      shape_names, albedo_names: of the parameters whose coefficients these are, in order.
      dtype: of the bases.
    """

    def __init__(
        self,
        model: LinearFaceModel,
        shape_basis: np.ndarray,
        albedo_basis: np.ndarray,
        shape_names: tuple[str, ...],
        albedo_names: tuple[str, ...],
        dtype: str,
    ):
        self._num_vertices = model.num_vertices
        self._names = shape_names, albedo_names
        self._shape_basis = stored(columns(shape_basis), dtype)
        self._albedo_basis = stored(columns(albedo_basis), dtype)
        self._expression_basis = stored(columns(model.expression_basis.basis), dtype)
        self._mean_shape = stored(model.prior.mean_shape, "float32")
        self._mean_albedo = stored(model.prior.mean_albedo, "float32")
        self.stored = [
            self._shape_basis,
            self._albedo_basis,
            self._expression_basis,
            self._mean_shape,
            self._mean_albedo,
        ]

    def identity(self, parameters):
        """See `FaceDecoder.identity`."""
        shape, albedo = (
            tf.concat([parameters[name] for name in names], axis=1) for names in self._names
        )
        return Identity(
            neutral_vertices=self._mean_shape[..., None] + self._combine(self._shape_basis, shape),
            albedo=self._mean_albedo[..., None] + self._combine(self._albedo_basis, albedo),
        )

    def expression_displacements(self, expression):
        """See `FaceDecoder.expression_displacements`."""
        return self._combine(self._expression_basis, expression)

    def _combine(self, basis, coefficients):
        # LiteRT's converter fails on -1 as the last size.
        size = (self._num_vertices, 3, tf.shape(coefficients)[0])
        return tf.reshape(combine(basis, coefficients), size)


def columns(basis: np.ndarray) -> np.ndarray:
    """[k, V, 3] → [3V, k] float32, rows vertex-major."""
    return np.ascontiguousarray(basis.reshape(len(basis), -1).T, np.float32)
