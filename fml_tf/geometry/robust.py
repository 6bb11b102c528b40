"""Tukey's biweight, by which distances that stand out lose their weight."""

import numpy as np

# 95 % efficient on Gaussian residuals, and no weight at all beyond.
_TUKEY = 4.685
_MAD_TO_SIGMA = 1.4826


def tukey_width(median: float, least_sigma: float) -> float:
    """The distance from which nothing counts, where the distances have this median.

    Args:
      median: of distances that are half of a Gaussian's, but for those that stand out.
      least_sigma: the least standard deviation that the Gaussian is taken to have.
    """
    return _TUKEY * max(_MAD_TO_SIGMA * median, least_sigma)


def tukey_weights(distances: np.ndarray, width: float) -> np.ndarray:
    """Weights in [0, 1] of distances ≥ 0; all 1 for an infinite width."""
    return np.maximum(0.0, 1.0 - (distances / width) ** 2) ** 2
