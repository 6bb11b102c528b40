"""The order of landmarks: iBUG's 68 points, our 66 of them, and both in a mirror."""

import numpy as np

# iBUG's 68 points without the inner mouth corners.
FROM_68 = np.delete(np.arange(68), [60, 64])

# fmt: off
# Where each of the 68 points goes when the image is mirrored.
MIRROR_68 = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
])
# fmt: on

# The same for our 66.
MIRROR_66 = np.searchsorted(FROM_68, MIRROR_68[FROM_68])
