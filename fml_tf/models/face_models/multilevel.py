"""The face model of two levels: a statistical one, and learned correctives of each vertex."""

import keras
import numpy as np
import tensorflow as tf

from fml_tf.models.face_models.base import FactoredGradient
from fml_tf.models.face_models.linear import FoldedLinearFaceModel, LinearFaceModel
from fml_tf.models.parameters import Parameter
from fml_tf.structures import Identity


class MultilevelFaceModel(LinearFaceModel):
    """Two levels: a statistical model, and learned correctives of each vertex on top of it.

    ("Self-supervised Multi-level Face Model Learning for Monocular Reconstruction at over 250 Hz",
    sections 4.1 and 4.2, with linear correctives, which the paper found best.) Its weights are the
    bases of the correctives of shape [3V, C], in length units, and albedo [3V, C]. They start small
    and random: the networks' heads start at zero, so that zero bases as well would let no gradient
    flow.

    Args:
      template, config, constants: as those of `LinearFaceModel`.
    """

    corrective_names = ("shape_correctives", "albedo_correctives")

    def __init__(self, template, config, constants=None, **kwargs):
        extra = tuple(Parameter(name, (config.corrective_size,)) for name in self.corrective_names)
        super().__init__(template, config, constants, extra, **kwargs)

    def build(self, input_shape=None):
        """Creates the bases of the correctives."""
        del input_shape
        self.shape_basis, self.albedo_basis = (
            self.add_weight(
                name=name,
                shape=(3 * self.num_vertices, self.config.corrective_size),
                initializer=keras.initializers.RandomNormal(
                    stddev=self.config.initial_basis_stddev
                ),
            )
            for name in ("shape_basis", "albedo_basis")
        )

    def identity(self, parameters):
        """Both levels; `Identity.extras` has `shape_correctives` [V, 3, B] mm.

        Without the parameters of correctives it is the base level, which reads no weights.
        """
        base = super().identity(parameters)
        if self.corrective_names[0] not in parameters:
            return base
        shape, albedo = (
            tf.reshape(
                tf.matmul(basis.value, parameters[f"{name}_correctives"], transpose_b=True),
                (self.num_vertices, 3, -1),
            )
            for name, basis in (("shape", self.shape_basis), ("albedo", self.albedo_basis))
        )
        shape *= self.config.length_unit_mm
        return Identity(
            neutral_vertices=base.neutral_vertices + shape,
            albedo=base.albedo + albedo,
            extras={"shape_correctives": shape},
        )

    @classmethod
    def base_level(cls, identity):
        """An `EditIdentity`: no correctives."""
        return {
            name: tf.zeros_like(values) if name in cls.corrective_names else values
            for name, values in identity.items()
        }

    def weight_groups(self):
        """The bases of the correctives."""
        return {"shape": [self.shape_basis.value], "albedo": [self.albedo_basis.value]}

    def factored_weights(self):
        """The albedo's: the shape is also seen by losses of its own."""
        return [self.albedo_basis.value]

    def factored_gradients(self, parameters, albedo_gradient):
        """See `FaceModel.factored_gradients`."""
        num_people = albedo_gradient.shape[-1]
        albedo_gradient = tf.reshape(albedo_gradient, (3 * self.num_vertices, num_people))
        coefficients = tf.ensure_shape(
            parameters.identity["albedo_correctives"], (num_people, None)
        )
        return [FactoredGradient(self.albedo_basis.value, albedo_gradient, coefficients)]

    def folded(self, dtype="float32"):
        """Statistical and learned vectors become one basis."""
        size = (-1, self.num_vertices, 3)
        shape = self.config.length_unit_mm * self.shape_basis.numpy().T.reshape(size)
        albedo = self.albedo_basis.numpy().T.reshape(size)
        return FoldedLinearFaceModel(
            self,
            np.concatenate([self.prior.shape_basis, shape]),
            np.concatenate([self.prior.albedo_basis, albedo]),
            ("shape", "shape_correctives"),
            ("albedo", "albedo_correctives"),
            dtype,
        )
