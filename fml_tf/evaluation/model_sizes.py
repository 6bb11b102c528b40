"""Smaller models cut out of a trained one, for the paper's Table 4 (supplemental).

The paper compares models of 0 to 500 vectors and does not say how it got them. Here they are
truncations of one model: its reconstructions of many pictures are analysed by PCA (supplemental,
section 1.1), and the model of k vectors has their mean and first k components, of shape and of
albedo each. Whatever face the network regresses is projected onto these, orthogonally in mm and in
RGB; pose, expression and light are then regressed under the face that is left.
"""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from fml_tf.evaluation.predictions import Frame
from fml_tf.evaluation.predictors import Method, ModelPredictor
from fml_tf.evaluation.principal_components import PrincipalComponents, principal_components

TABLE_SIZES = (0, 10, 50, 125, 500)


class TruncatedModels:
    """Models of fewer vectors.

    Args:
      predictor: of the whole model.
      pictures: of people, for the PCA; not the ones that are scored. Those that cannot be read, or
        in which no face is found, are skipped; the methods' notes say how many were used.

    Raises:
      ValueError: fewer than two faces in the pictures.
    """

    def __init__(self, predictor: ModelPredictor, pictures: Sequence[Frame]):
        self._predictor, self._pictures = predictor, pictures
        identities = []
        for frame in tqdm(pictures, desc="faces for the PCA", unit="picture"):
            try:
                identities.append(predictor.identity([frame]))
            except (OSError, ValueError):
                continue
        if len(identities) < 2:
            raise ValueError("no faces in the pictures that the PCA needs")
        self._num_faces = len(identities)
        # In the coordinates of `_bases`.
        self._components = [
            principal_components(
                np.stack([identity[name] for identity in identities]) @ basis.T, self._num_faces
            )
            for name, basis in self._bases.items()
        ]

    def methods(self) -> list[Method]:
        """A method for each size of the table that the model and the pictures suffice for.

        The last is the whole model.

        Raises:
          ValueError: the faces found in the pictures vary in fewer components than a size needs.
        """
        layout = self._predictor.model.identity_layout
        whole = max(parameter.size for parameter in layout.parameters)
        sizes = [size for size in TABLE_SIZES if size < min(whole, len(self._pictures))]
        note = f"PCA of {self._num_faces} faces in {len(self._pictures)} pictures"
        methods = []
        for size in sizes:
            restrict = self._restriction(size)
            predict = functools.partial(self._predictor.predict_pooled, edit_identity=restrict)
            methods.append(Method(f"{size} vectors", 1, predict, note))
        whole_model = Method("whole model", 1, self._predictor.predict_pooled, f"{whole} vectors")
        return [*methods, whole_model]

    def _restriction(self, size):
        """How `predict_pooled` keeps only the first components."""
        maps = {
            name: projection(part, basis, size)
            for part, (name, basis) in zip(self._components, self._bases.items())
        }

        def restrict(identity):
            return {
                name: mean + tf.matmul(identity[name] - mean, matrix, transpose_b=True)
                for name, (mean, matrix) in maps.items()
            }

        return restrict

    @functools.cached_property
    def _bases(self):
        """Triangular factors of the shape basis [3V, g] and of the albedo basis [3V, |β|], by name.

        They keep lengths: ‖basis · x‖ = ‖factor · x‖, so that PCA need not be done on vertices.
        """
        face_model = self._predictor.model.face_model
        sizes = {part.name: part.size for part in face_model.identity_layout.parameters}
        factors = {}
        for name, of_faces in (("shape", "neutral_vertices"), ("albedo", "albedo")):
            # Vector by vector; and the mean face, last.
            rows = {key: tf.zeros((sizes[name] + 1, size)) for key, size in sizes.items()}
            rows[name] = tf.eye(sizes[name] + 1, sizes[name])
            faces = getattr(face_model.identity(rows), of_faces).numpy().astype(np.float64)
            basis = faces[..., :-1] - faces[..., -1:]
            factors[name] = np.linalg.qr(basis.reshape(-1, sizes[name]), mode="r")
        return factors


def projection(
    components: PrincipalComponents, basis: np.ndarray, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The orthogonal projection onto the first components, as an affine map of parameters.

    Args:
      components: of basis · x over many parameters x.
      basis: [D, g] of full column rank, or the least change to x is made that its null space
        leaves open.
      size: how many components to keep.

    Returns:
      The fixed point [g] and the matrix [g, g] float32: x ↦ fixed + matrix · (x − fixed).

    Raises:
      ValueError: there are fewer components.
    """
    if components.basis.shape[1] < min(size, basis.shape[1]):
        raise ValueError(
            f"{size} vectors: the PCA's faces vary in only {components.basis.shape[1]} components"
        )
    inverse = np.linalg.pinv(basis, rcond=1e-9)
    kept = components.basis[:, :size]
    matrix = inverse @ kept @ (kept.T @ basis)
    return tf.constant(inverse @ components.mean, tf.float32), tf.constant(matrix, tf.float32)
