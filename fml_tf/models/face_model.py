"""The learned face model: graph-based shape and per-vertex albedo basis (paper, section 3.2)."""

import keras
import numpy as np
import tensorflow as tf

from fml_tf.models.orthogonal_complement import OrthogonalComplement, graph_expression_basis
from fml_tf.template.deformation_graph import DeformationGraph
from fml_tf.template.expression_basis import ExpressionBasis
from fml_tf.template.face_template import FaceTemplate


class FaceModel(keras.layers.Layer):
    """Identity and expression parameters → neutral shape, shape with expression, albedo.

    Its weights are Θs [3G, g] (in length units), Θa [3V, |β|] and r̄ [3V]; the mean shape, the
    expression basis B, the skinning W and the projection of the OCL are constants of the template.

    Args:
      template: the face template (mean shape v̄ in mm).
      graph: its deformation graph.
      expression_basis: B with σ.
      shape_size: g.
      albedo_size: |β|.
      length_unit_mm: unit of Θs.
      initial_basis_stddev: of the entries of Θs (in length units) and Θa at the start. The heads of
        the networks start at zero, so that a zero basis as well would let no gradient flow.
      initial_albedo: RGB of the constant skin tone that r̄ starts from.
    """

    def __init__(
        self,
        template: FaceTemplate,
        graph: DeformationGraph,
        expression_basis: ExpressionBasis,
        shape_size: int,
        albedo_size: int,
        length_unit_mm: float,
        initial_basis_stddev: float,
        initial_albedo: tuple[float, float, float],
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.shape_size = shape_size
        self.albedo_size = albedo_size
        self.length_unit_mm = length_unit_mm
        self.initial_basis_stddev = initial_basis_stddev
        self.initial_albedo = initial_albedo
        self.num_vertices = template.num_vertices
        self.num_nodes = len(graph.node_vertices)
        weights = graph.skinning_matrix().astype(np.float64)
        self.orthogonal_complement = OrthogonalComplement(
            graph_expression_basis(expression_basis.basis, weights)
        )
        coordinates = weights.tocoo()
        with tf.init_scope():
            self._mean_shape = tf.constant(template.mean_shape[..., None], tf.float32)
            self._skinning = tf.sparse.SparseTensor(
                np.stack([coordinates.row, coordinates.col], axis=1).astype(np.int64),
                coordinates.data.astype(np.float32),
                coordinates.shape,
            )
            # [3V, b], rows vertex-major.
            self._expression_basis = tf.constant(
                expression_basis.basis.reshape(len(expression_basis.basis), -1).T, tf.float32
            )

    def build(self, input_shape=None):
        """Creates Θs, Θa and r̄."""
        del input_shape
        stddev = self.initial_basis_stddev
        self.shape_basis = self.add_weight(
            name="shape_basis",
            shape=(3 * self.num_nodes, self.shape_size),
            initializer=keras.initializers.RandomNormal(stddev=stddev),
        )
        self.albedo_basis = self.add_weight(
            name="albedo_basis",
            shape=(3 * self.num_vertices, self.albedo_size),
            initializer=keras.initializers.RandomNormal(stddev=stddev),
        )
        skin_tone = np.tile(np.asarray(self.initial_albedo, np.float32), self.num_vertices)
        self.mean_albedo = self.add_weight(
            name="mean_albedo",
            shape=(3 * self.num_vertices,),
            initializer=lambda shape, dtype=None: tf.reshape(skin_tone, shape),
        )

    def node_displacements(self, shape):
        """Equation (1): OCL(Θs)·α. [B, g] → [G, 3, B] in length units."""
        displacements = tf.matmul(self.shape_basis.value, shape, transpose_b=True)
        displacements = self.orthogonal_complement(displacements)
        return tf.reshape(displacements, (self.num_nodes, 3, -1))

    def skin(self, node_displacements):
        """S·d: of nodes [G, 3, B] in length units → of vertices [V, 3, B] in mm."""
        flat = tf.reshape(node_displacements, (self.num_nodes, -1))
        skinned = tf.sparse.sparse_dense_matmul(self._skinning, flat * self.length_unit_mm)
        return tf.reshape(skinned, (self.num_vertices, 3, -1))

    def neutral_shape(self, node_displacements):
        """Equation (2). [G, 3, B] → [V, 3, B] mm, model space."""
        return self._mean_shape + self.skin(node_displacements)

    def expression_displacements(self, expression):
        """B·δ of equation (3). [N, b] → [V, 3, N] mm."""
        displacements = tf.matmul(self._expression_basis, expression, transpose_b=True)
        return tf.reshape(displacements, (self.num_vertices, 3, -1))

    def albedo(self, albedo_parameters):
        """Equation (6): r̄ + Θa·β. [B, |β|] → [V, 3, B]."""
        albedo = self.mean_albedo.value[:, None] + tf.matmul(
            self.albedo_basis.value, albedo_parameters, transpose_b=True
        )
        return tf.reshape(albedo, (self.num_vertices, 3, -1))
