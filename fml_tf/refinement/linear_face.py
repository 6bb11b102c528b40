"""A reconstructor's faces as linear functions of its parameters, at some vertices."""

import dataclasses

import numpy as np
import tensorflow as tf

from fml_tf.models.reconstructor import FaceReconstructor

_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, eq=False)
class LinearFace:
    """Derivatives by the network's outputs; all face models are linear in their parameters.

    Attributes:
      vertices: [P] int, numbers of the vertices.
      shape: [P, 3, Z] mm, of the neutral shape by the identity.
      albedo: [P, 3, Z], of the albedo by the identity.
      expression: [P, 3, b] mm, of the displacement by the expression.
    """

    vertices: np.ndarray
    shape: np.ndarray
    albedo: np.ndarray
    expression: np.ndarray

    @classmethod
    def of(cls, model: FaceReconstructor, vertices: np.ndarray) -> "LinearFace":
        """Those of a model, by differences from its mean."""
        layout = model.identity_layout
        outputs = np.concatenate([np.zeros((1, layout.size)), np.eye(layout.size)])
        shapes, albedos = [], []
        for start in range(0, len(outputs), _AT_ONCE):
            part = tf.constant(outputs[start : start + _AT_ONCE], tf.float32)
            identity = model.face_model.identity(layout.split(part))
            shapes.append(tf.gather(identity.neutral_vertices, vertices).numpy())
            albedos.append(tf.gather(identity.albedo, vertices).numpy())
        shape, albedo = (np.concatenate(parts, axis=2) for parts in (shapes, albedos))
        sigma = model.expression_basis.sigma
        expression = model.expression_basis.basis[:, vertices] * sigma[:, None, None]
        return cls(
            vertices=np.asarray(vertices),
            shape=(shape[..., 1:] - shape[..., :1]).astype(np.float64),
            albedo=(albedo[..., 1:] - albedo[..., :1]).astype(np.float64),
            expression=np.moveaxis(expression, 0, -1).astype(np.float64),
        )

    def at(self, rows: np.ndarray) -> "LinearFace":
        """The same at some of its vertices, `rows` of them."""
        return LinearFace(
            self.vertices[rows], self.shape[rows], self.albedo[rows], self.expression[rows]
        )
