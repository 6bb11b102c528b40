"""What a detector's points err together, and each by itself."""

import numpy as np

NUM_MODES = 16
# Pictures whose points lie off by so many times the usual are no readings of that face.
_MOST = 4.0


def error_modes(errors: np.ndarray, number: int = NUM_MODES) -> tuple[np.ndarray, np.ndarray]:
    """Splits a detector's errors [N, P, 3] mm into what points do together and each by itself.

    Returns:
      The directions [K, P, 3] mm of the largest mean squares, each as long as its root mean square,
      so that an error is their sum with factors of mean square 1, and what is left, root mean
      square [P, 2] mm: across or down, and in depth.
    """
    sizes = np.sqrt(np.square(errors).mean(axis=(1, 2)))
    errors = errors[sizes < _MOST * np.median(sizes)]
    flat = errors.reshape(len(errors), -1)
    left, values, directions = np.linalg.svd(flat, full_matrices=False)
    modes = values[:number, None] * directions[:number] / np.sqrt(len(flat))
    rest = flat - (left[:, :number] * values[:number]) @ directions[:number]
    squares = np.square(rest).mean(axis=0).reshape(-1, 3)
    own = np.stack([squares[:, :2].mean(axis=1), squares[:, 2]], axis=1)
    return modes.reshape(number, -1, 3), np.sqrt(own)
