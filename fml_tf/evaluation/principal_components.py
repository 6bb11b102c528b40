"""Principal components of vectors: the statistics behind modes and smaller models."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """A Gaussian model of vectors.

    Attributes:
      mean: [D].
      basis: [D, k], orthonormal columns.
      variance: [k], descending.
    """

    mean: np.ndarray
    basis: np.ndarray
    variance: np.ndarray


def principal_components(samples: np.ndarray, count: int) -> PrincipalComponents:
    """PCA of samples [n, D]: the first `count` components, or the fewer that the samples have.

    Each component's sign is such that its largest entry is positive.

    Raises:
      ValueError: fewer than two samples, or all the same.
    """
    samples = np.asarray(samples, np.float64)
    if len(samples) < 2:
        raise ValueError("PCA needs two samples or more")
    mean = samples.mean(axis=0)
    _, singular, components = np.linalg.svd(samples - mean, full_matrices=False)
    kept = min(count, int(np.sum(singular > 1e-6 * max(singular[0], np.finfo(float).tiny))))
    if not singular[0] > 0:
        raise ValueError("PCA needs samples that differ")
    basis = components[:kept].T
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(kept)]
    return PrincipalComponents(
        mean, basis * np.sign(largest), singular[:kept] ** 2 / (len(samples) - 1)
    )
