"""A stand-in for a landmark detector: truth plus the errors that detectors make."""

import numpy as np

_CROP = 240.0
_OUTLIER_SHARE = 0.02
# Landmarks of one part move together.
_PARTS = [range(0, 17), range(17, 22), range(22, 27), range(27, 36), range(36, 42), range(42, 48)]
_PARTS += [range(48, 66)]


def detect(
    landmarks: np.ndarray, occluded: np.ndarray, face_width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Reads landmarks with noise.

    The error of a landmark is a share of the whole face's, of its part's and of its own, more where
    it is occluded; a few are far off. Confidence falls with the expected error, and follows the
    actual one loosely, as those of real detectors do.

    Args:
      landmarks: [66, 2] px.
      occluded: [66] bool.
      face_width: width in the same px of what becomes the crop; errors scale with it.

    Returns:
      Landmarks [66, 2] px and confidences [66] in (0, 1].
    """
    count = len(landmarks)
    expected = np.where(np.arange(count) < 17, 1.3, 0.7) * np.exp(0.25 * rng.standard_normal())
    expected = expected * np.where(occluded, 2.5, 1.0)
    outliers = rng.random(count) < _OUTLIER_SHARE
    expected = np.where(outliers, 5.0, expected)
    shared = np.zeros((count, 2))
    for part in _PARTS:
        shared[list(part)] = rng.standard_normal(2)
    unit = 0.3 * rng.standard_normal(2) + 0.5 * shared + 0.8 * rng.standard_normal((count, 2))
    error = expected[:, None] * unit
    size = 0.5 * np.linalg.norm(error, axis=1) + 0.5 * expected
    confidence = np.exp(-0.3 * size * np.exp(0.3 * rng.standard_normal(count)))
    noisy = landmarks + error * (face_width / _CROP)
    return noisy, np.clip(confidence, 0.01, 1.0)
