"""Which frames of a clip make a multi-frame image (paper, section 3.1; the rule is ours)."""

import cv2
import numpy as np

from fml_tf.preprocessing.head_pose import rotation_angles

# Frames with less than this share of the median sharpness count as blurred by motion or focus.
MIN_SHARPNESS = 0.5


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of a crop [S, S, 3] uint8; comparable within one clip only."""
    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def usable_frames(sharpnesses: np.ndarray, min_sharpness: float = MIN_SHARPNESS) -> np.ndarray:
    """Indices of the frames that are not blurred, measured by the clip's own median; [F] -> [U]."""
    sharpnesses = np.asarray(sharpnesses)
    if not len(sharpnesses):
        return np.zeros(0, int)
    return np.flatnonzero(sharpnesses >= min_sharpness * np.median(sharpnesses))


def choose_frames(rotations: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Chooses frames whose head poses are far apart, greedily.

    The two frames furthest apart come first; each further one is that whose nearest chosen pose is
    the furthest. Ties go to the earlier frame, so the choice is a function of the input.

    Args:
      rotations: [F, 3] rotation vectors.
      count: how many frames, 1 to F. A single frame is the one with the most central pose.

    Returns:
      Indices [count] in increasing order, and the least angle between two of them in radian
      (infinite for a single frame).

    Raises:
      ValueError: fewer frames than `count`.
    """
    if not 1 <= count <= len(rotations):
        raise ValueError(f"cannot choose {count} of {len(rotations)} frames")
    angles = rotation_angles(rotations)
    if count == 1:
        return np.array([angles.sum(axis=1).argmin()]), np.inf
    np.fill_diagonal(angles, -1.0)  # no frame is chosen twice
    chosen = list(np.unravel_index(angles.argmax(), angles.shape))
    while len(chosen) < count:
        chosen.append(angles[chosen].min(axis=0).argmax())
    chosen = np.sort(chosen)
    among = angles[np.ix_(chosen, chosen)]
    return chosen, float(among[np.triu_indices(count, 1)].min())
