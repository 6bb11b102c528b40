"""The expression basis B of equation (3): blendshapes themselves, or a PCA of mixtures of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from fml_tf.template.face_template import FaceTemplate

# How `pca_basis` mixes: the share of blendshapes that are active in one expression, and ARKit's
# corrective shapes, which are active by at most the other shape's activation.
ACTIVE_SHARE = 0.3
LIMITED_BY = {"mouthClose": "jawOpen"}


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionBasis:
    """Expression e is mean_shape + Σ_k δ_k basis_k; δ = 0 is the neutral face.

    Attributes:
      basis: [b, V, 3] float32 mm.
      sigma: [b] float32 > 0, standard deviation of each coefficient δ_k about 0, which the
        expression's regulariser divides by.
      names: b names where a coefficient is a blendshape's activation, else None.
      blendshape_weights: [b, K] float32, basis_k = Σ_j blendshape_weights[k, j] blendshape_j, so
        that δ @ blendshape_weights are the blendshapes' activations.
    """

    basis: np.ndarray
    sigma: np.ndarray
    names: tuple[str, ...] | None
    blendshape_weights: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All fields as arrays that NumPy saves; `names` is empty where there are none."""
        return {**vars(self), "names": np.array(self.names or (), np.str_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "ExpressionBasis":
        """What `to_arrays` gave."""
        return cls(**{**arrays, "names": tuple(arrays["names"].tolist()) or None})


def expression_basis(template: FaceTemplate, kind: str, variance: float) -> ExpressionBasis:
    """`pca_basis` or `raw_basis`, by its kind: "pca" or "blendshapes"."""
    return pca_basis(template, variance) if kind == "pca" else raw_basis(template)


def raw_basis(template: FaceTemplate) -> ExpressionBasis:
    """The template's blendshapes as they are: δ are activations, b = K."""
    return ExpressionBasis(
        basis=template.blendshapes,
        sigma=template.blendshape_sigma,
        names=template.blendshape_names,
        blendshape_weights=np.eye(len(template.blendshapes), dtype=np.float32),
    )


def pca_basis(
    template: FaceTemplate,
    variance: float = 0.99,
    num_samples: int = 20_000,
    seed: int = 0,
    fixed_signs: bool = True,
) -> ExpressionBasis:
    """Principal components of random mixtures of the blendshapes (paper, section 3.2).

    A mixture activates three blendshapes in ten, each with a half-normal strength of the
    blendshape's σ: an expression is few muscles at a time, and none pulls backwards. Components are
    taken about the neutral face, not about the mixtures' mean, so that δ = 0 stays neutral; they
    are scaled to their root mean square, so that every σ is 1. What counts is the displacement of
    the region "face": the mouth bag moves most and nobody sees it.

    Args:
      template: its blendshapes are unit activations with their σ.
      variance: share of the mixtures' mean square displacement that the basis keeps, in (0, 1].
      num_samples: number of mixtures.
      seed: of the mixtures.
      fixed_signs: turn each component so that its largest blendshape weight is positive. A
        component's sign is whatever the linear algebra library made it: False keeps that, as
        models of version 0.1 have it.

    Raises:
      ValueError: variance outside (0, 1], or blendshapes that all are zero.
    """
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be in (0, 1], got {variance}")
    names, count = template.blendshape_names, len(template.blendshapes)
    random = np.random.default_rng(seed)
    strength = np.abs(random.normal(size=(num_samples, count))) * template.blendshape_sigma
    activation = strength * (random.random((num_samples, count)) < ACTIVE_SHARE)
    for corrective, limit in LIMITED_BY.items():
        if corrective in names and limit in names:
            share = random.random(num_samples) * (activation[:, names.index(corrective)] > 0)
            activation[:, names.index(corrective)] = share * activation[:, names.index(limit)]

    # The mixtures are activation @ shapes: their second moment has the eigenvalues of a K x K
    # matrix, with activation's second moment factored as root @ root.T.
    seen = template.blendshapes[:, template.regions["face"]].reshape(count, -1).astype(np.float64)
    root = np.linalg.cholesky(activation.T @ activation / num_samples)
    energy, directions = np.linalg.eigh(root.T @ (seen @ seen.T) @ root)
    energy, directions = np.maximum(energy[::-1], 0), directions[:, ::-1]
    if energy[0] == 0:
        raise ValueError(f"{template.name}: all blendshapes are zero")
    size = np.searchsorted(np.cumsum(energy) / energy.sum(), variance) + 1
    size = min(size, np.count_nonzero(energy > 1e-12 * energy[0]))
    weights = (root @ directions[:, :size]).T
    if fixed_signs:
        largest = np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1)
        weights *= np.sign(largest)
    weights = weights.astype(np.float32)
    basis = np.einsum("bk,kvc->bvc", weights, template.blendshapes, optimize=True)
    return ExpressionBasis(
        basis=basis,
        sigma=np.ones(size, np.float32),
        names=None,
        blendshape_weights=weights,
    )
