"""The Orthogonal Complement Layer, which keeps identity and expression apart."""

import keras
import numpy as np
import tensorflow as tf


def graph_expression_basis(
    expression_basis: np.ndarray, skinning_matrix, tolerance: float = 1e-6
) -> np.ndarray:
    """Orthonormal basis of the expressions as the deformation graph can show them.

    Solves B ≈ S·B_G for B_G in least squares (paper, section 3.2, "Separating Shape and
    Expression"). S = W ⊗ I acts alike on x, y and z, so that three small problems in W take the
    place of one in S. B_G is orthonormalised by SVD; directions whose singular value is below
    `tolerance` times the largest are dropped, so that a rank-deficient B is no special case.

    Args:
      expression_basis: [b, V, 3] mm, the blendshape basis B.
      skinning_matrix: [V, G] scipy sparse, W.
      tolerance: relative threshold on singular values.

    Returns:
      Q, [3G, rank] float64, orthonormal columns; rows are node-major (x, y, z of node 0, ...).
    """
    num_expressions, num_vertices, _ = expression_basis.shape
    normal_matrix = (skinning_matrix.T @ skinning_matrix).toarray()
    targets = expression_basis.astype(np.float64).transpose(1, 2, 0).reshape(num_vertices, -1)
    # lstsq on the normal equations: a node that no vertex follows has a zero row and gets zero.
    solution, *_ = np.linalg.lstsq(normal_matrix, skinning_matrix.T @ targets, rcond=1e-12)
    graph_basis = solution.reshape(-1, num_expressions)
    left, singular_values, _ = np.linalg.svd(graph_basis, full_matrices=False)
    if singular_values.size == 0 or singular_values[0] == 0.0:
        return np.zeros((graph_basis.shape[0], 0))
    return left[:, singular_values > tolerance * singular_values[0]]


@keras.saving.register_keras_serializable("fml_tf")
class OrthogonalComplement(keras.layers.Layer):
    """OCL(Θ) = Θ − Q (Qᵀ Θ): projects columns onto the orthogonal complement of span(Q).

    Paper, equations (4) and (5), with B_G orthonormalised into Q. It has no weights of its own. As
    the projection acts on columns, OCL(Θs)·α = OCL(Θs·α), which the face model uses: the vector is
    projected in place of the basis.

    Args:
      basis: Q, [3G, r] array with orthonormal columns; r = 0 makes the layer the identity.

    Raises:
      ValueError: the columns of `basis` are not orthonormal to 1e-4.
    """

    def __init__(self, basis, **kwargs):
        super().__init__(**kwargs)
        self.basis = np.asarray(basis, np.float64)
        gram = self.basis.T @ self.basis
        if not np.allclose(gram, np.eye(gram.shape[0]), atol=1e-4):
            raise ValueError("OrthogonalComplement: the columns of `basis` are not orthonormal")

    def call(self, inputs):
        """Projects `inputs` [3G, ...columns] and returns the same shape."""
        basis = tf.constant(self.basis, inputs.dtype)
        return inputs - basis @ tf.matmul(basis, inputs, transpose_a=True)

    def compute_output_shape(self, input_shape):
        """The output has the input's shape."""
        return input_shape

    def get_config(self):
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "basis": self.basis.tolist()}
