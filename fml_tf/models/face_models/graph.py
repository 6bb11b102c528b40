"""FML's face model: graph-based shape and per-vertex albedo basis (paper, section 3.2)."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.face_models.base import (
    EXPRESSION,
    FaceModel,
    FactoredGradient,
    FoldedFaceModel,
    below,
)
from fml_tf.models.face_models.folding import combine, stored
from fml_tf.models.face_models.orthogonal_complement import (
    OrthogonalComplement,
    graph_expression_basis,
)
from fml_tf.models.parameters import Parameter, ParameterLayout
from fml_tf.structures import FaceParameters, Identity
from fml_tf.template.deformation_graph import DeformationGraph, load_or_build_graph, pockets
from fml_tf.template.expression_basis import ExpressionBasis, expression_basis
from fml_tf.template.face_template import FaceTemplate

COMPLEMENT = "orthogonal_complement/basis"
"""Name of the constant that is Q of the OCL."""
_GRAPH = "graph/"


class GraphFaceModel(FaceModel):
    """Identity and expression parameters → neutral shape, shape with expression, albedo.

    Its weights are Θs [3G, g] (in length units), Θa [3V, |β|] and r̄ [3V]; the mean shape, the
    expression basis B, the skinning W and the projection of the OCL are constants of the template.
    Θs and Θa start small and random: the heads of the networks start at zero, so that zero bases
    as well would let no gradient flow.

    `Identity.extras` has `node_displacements` [G, 3, B], of the graph's nodes from their mean, in
    `config.length_unit_mm`.

    Args:
      template: the face template (mean shape v̄ in mm).
      config: sizes and initial values.
      constants: see `FaceModel.constants`.
      factor_albedo_gradient: give Θa's gradient as a product, which need not be written out.
    """

    def __init__(
        self,
        template: FaceTemplate,
        config: ModelConfig,
        constants: Mapping[str, np.ndarray] | None = None,
        factor_albedo_gradient: bool = True,
        **kwargs,
    ):
        if constants is None:
            graph = load_or_build_graph(template, config.num_graph_nodes)
            basis = expression_basis(template, config.expression_basis, config.expression_variance)
            skinning = graph.skinning_matrix().astype(np.float64)
            # The mouth bag moves most and nobody sees it: it has no say in what an expression is.
            seen = np.flatnonzero(~pockets(template))
            complement = graph_expression_basis(basis.basis[:, seen], skinning[seen])
        else:
            graph = DeformationGraph(**below(constants, _GRAPH))
            basis = ExpressionBasis.from_arrays(below(constants, EXPRESSION))
            complement = constants[COMPLEMENT]
        sizes = (("shape", config.shape_size), ("albedo", config.albedo_size))
        layout = ParameterLayout([Parameter(name, (size,)) for name, size in sizes])
        super().__init__(template, basis, layout, **kwargs)
        self.config = config
        self.graph = graph
        self.length_unit_mm = config.length_unit_mm
        self.num_nodes = graph.num_nodes
        self.orthogonal_complement = OrthogonalComplement(complement)
        self._factor_albedo_gradient = factor_albedo_gradient
        coordinates = graph.skinning_matrix().astype(np.float64).tocoo()
        with tf.init_scope():
            self._mean_shape = tf.constant(template.mean_shape[..., None], tf.float32)
            self._skinning = tf.sparse.SparseTensor(
                np.stack([coordinates.row, coordinates.col], axis=1).astype(np.int64),
                coordinates.data.astype(np.float32),
                coordinates.shape,
            )

    def build(self, input_shape=None):
        """Creates Θs, Θa and r̄."""
        del input_shape
        config = self.config
        small = config.initial_basis_stddev
        self.shape_basis = self.add_weight(
            name="shape_basis",
            shape=(3 * self.num_nodes, config.shape_size),
            initializer=keras.initializers.RandomNormal(stddev=small),
        )
        self.albedo_basis = self.add_weight(
            name="albedo_basis",
            shape=(3 * self.num_vertices, config.albedo_size),
            initializer=keras.initializers.RandomNormal(stddev=small),
        )
        tone = (
            config.initial_albedo_red,
            config.initial_albedo_green,
            config.initial_albedo_blue,
        )
        skin_tone = np.tile(np.asarray(tone, np.float32), self.num_vertices)
        self.mean_albedo = self.add_weight(
            name="mean_albedo",
            shape=(3 * self.num_vertices,),
            initializer=lambda shape, dtype=None: tf.reshape(skin_tone, shape),
        )

    def identity(self, parameters):
        """Equations (1), (2) and (6)."""
        node_displacements = self.node_displacements(parameters["shape"])
        return Identity(
            neutral_vertices=self._mean_shape + self.skin(node_displacements),
            albedo=self.albedo(parameters["albedo"]),
            extras={"node_displacements": node_displacements},
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

    def albedo(self, albedo_parameters):
        """Equation (6): r̄ + Θa·β. [B, |β|] → [V, 3, B]."""
        albedo = self.mean_albedo.value[:, None] + tf.matmul(
            self.albedo_basis.value, albedo_parameters, transpose_b=True
        )
        return tf.reshape(albedo, (self.num_vertices, 3, -1))

    def weight_groups(self):
        """`shape` is Θs, `albedo` are r̄ and Θa."""
        return {
            "shape": [self.shape_basis.value],
            "albedo": [self.mean_albedo.value, self.albedo_basis.value],
        }

    def factored_weights(self):
        """r̄ and Θa, unless they are to be treated as any other weight."""
        return self.weight_groups()["albedo"] if self._factor_albedo_gradient else []

    def factored_gradients(self, parameters: FaceParameters, albedo_gradient):
        """Through r̄ + Θa·β by hand: see `FaceModel.factored_gradients`."""
        if not self._factor_albedo_gradient:
            return []
        num_people = albedo_gradient.shape[-1]
        albedo_gradient = tf.reshape(albedo_gradient, (self.mean_albedo.shape[0], num_people))
        coefficients = tf.ensure_shape(parameters.identity["albedo"], (num_people, None))
        return [
            (self.mean_albedo.value, tf.reduce_sum(albedo_gradient, axis=1)),
            FactoredGradient(self.albedo_basis.value, albedo_gradient, coefficients),
        ]

    def constants(self):
        """Graph with its skinning, expression basis with σ, and Q of the OCL."""
        graph = {_GRAPH + name: value for name, value in vars(self.graph).items()}
        expression = self.expression_basis.to_arrays()
        return {
            **graph,
            **{EXPRESSION + name: value for name, value in expression.items()},
            COMPLEMENT: self.orthogonal_complement.basis,
        }

    def folded(self, dtype="float32"):
        """OCL(Θs) becomes one matrix in mm."""
        return _FoldedGraphFaceModel(self, dtype)


class _FoldedGraphFaceModel(FoldedFaceModel):
    """See `FaceModel.folded`.

    OCL(Θs) acts on the graph's nodes, and the few skinning weights of each vertex follow:
    multiplied out, S·OCL(Θs) would be as large as Θa, to be read for each request.
    """

    def __init__(self, model: GraphFaceModel, dtype: str):
        shape = model.orthogonal_complement(model.shape_basis.numpy().astype(np.float64))
        basis = model.expression_basis.basis
        self._num_vertices, self._num_nodes = model.num_vertices, model.num_nodes
        self._shape_basis = stored(np.float32(shape * model.length_unit_mm), dtype)
        self._albedo_basis = stored(model.albedo_basis.numpy(), dtype)
        self._expression_basis = stored(basis.reshape(len(basis), -1).T, dtype)
        self._mean_albedo = stored(model.mean_albedo, "float32")
        self._mean_shape = stored(model.template.mean_shape, "float32")
        self._skinning_weights = stored(model.graph.skinning_weights, "float32")
        self._skinning_indices = model.graph.skinning_indices
        self.stored = [
            self._shape_basis,
            self._albedo_basis,
            self._expression_basis,
            self._mean_albedo,
            self._mean_shape,
            self._skinning_weights,
        ]

    def identity(self, parameters):
        """See `FaceDecoder.identity`; without extras."""
        nodes = combine(self._shape_basis, parameters["shape"])
        nodes = tf.reshape(nodes, (self._num_nodes, -1))
        # Gathered: neither LiteRT nor ONNX knows sparse matrices.
        skinned = tf.add_n(
            [
                weights[:, None] * tf.gather(nodes, indices)
                for weights, indices in zip(
                    tf.unstack(self._skinning_weights, axis=1), self._skinning_indices.T
                )
            ]
        )
        shape = (self._num_vertices, 3, -1)
        albedo = self._mean_albedo[:, None] + combine(self._albedo_basis, parameters["albedo"])
        return Identity(
            neutral_vertices=tf.reshape(skinned, shape) + self._mean_shape[..., None],
            albedo=tf.reshape(albedo, shape),
        )

    def expression_displacements(self, expression):
        """See `FaceDecoder.expression_displacements`."""
        displacements = combine(self._expression_basis, expression)
        # LiteRT's converter fails on -1 as the last size.
        return tf.reshape(displacements, (self._num_vertices, 3, tf.shape(expression)[0]))
