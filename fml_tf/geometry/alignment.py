"""The rigid or similarity transform that brings one set of points onto another."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Similarity:
    """The map x ↦ scale · rotation · x + translation.

    Attributes:
      scale: positive.
      rotation: [3, 3] float64, proper (determinant +1).
      translation: [3] float64.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Maps points [..., 3]; returns float64 of the same shape."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def apply_inverse(self, points: np.ndarray) -> np.ndarray:
        """Maps points [..., 3] back; returns float64 of the same shape."""
        return (np.asarray(points, np.float64) - self.translation) @ self.rotation / self.scale


def procrustes(
    source: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None = None,
    with_scale: bool = True,
) -> Similarity:
    """Finds the similarity that minimises Σ_p weights_p ‖scale·R·source_p + t − target_p‖².

    The closed solution by SVD (Umeyama 1991). A reflection is refused: where one would fit better,
    the best proper rotation comes back.

    Args:
      source: [P, 3] points.
      target: [P, 3] points, the same unit as the result's translation.
      weights: [P] non-negative, not all zero; equal if None.
      with_scale: False keeps the scale at 1 (a rigid transform).

    Returns:
      The transform from source to target.

    Raises:
      ValueError: shapes that do not fit, a non-finite value, or source points with weight that lie
        on one point or one line, so that the rotation is not determined.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape:
        raise ValueError(f"source and target must both be [P, 3]: {source.shape}, {target.shape}")
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(source),) or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError("weights must be [P], non-negative and not all zero")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("source and target must be finite")
    weights = weights / weights.sum()

    source_centre, target_centre = weights @ source, weights @ target
    source, target = source - source_centre, target - target_centre
    spread = np.linalg.svd(np.sqrt(weights)[:, None] * source, compute_uv=False)
    if len(spread) < 2 or spread[1] <= 1e-9 * max(spread[0], np.finfo(float).tiny):
        raise ValueError("source points lie on one line: the rotation is not determined")

    u, singular_values, vt = np.linalg.svd(target.T @ (weights[:, None] * source))
    signs = np.array([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)])
    rotation = (u * signs) @ vt
    scale = (singular_values * signs).sum() / (spread**2).sum() if with_scale else 1.0
    return Similarity(float(scale), rotation, target_centre - scale * rotation @ source_centre)


def aligned_rmse(shape: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared vertex distance after similarity alignment.

    Args:
      shape: [P, 3] mm.
      truth: [P, 3] mm, in correspondence.

    Returns:
      mm.
    """
    aligned = procrustes(shape, truth).apply(shape)
    return float(np.sqrt(np.mean(np.sum((aligned - truth) ** 2, axis=-1))))
