"""Smooth random fields over a face, the same on its left and right."""

from collections.abc import Sequence

import numpy as np

_WAVES_A_KERNEL = 200


class SymmetricFields:
    """Draws of a Gaussian process with a sum of Gaussian kernels, by random waves.

    After Rahimi and Recht, Random Features for Large-Scale Kernel Machines (NIPS 2007); such
    processes as models of faces: Lüthi et al., Gaussian Process Morphable Models (PAMI 2018). The
    waves depend on nothing but the kernels, so that fields at other points of the same face agree.

    Args:
      points: [V, 3] mm, model space: x is mirrored.
      kernels: (reach in mm, deviation) of each.

    Attributes:
      num_waves: W, how many numbers a field is drawn from, for each of its components.
    """

    def __init__(self, points: np.ndarray, kernels: Sequence[tuple[float, float]]):
        rng = np.random.default_rng(0)
        mirrored = points * np.array((-1.0, 1.0, 1.0))
        here, there = [], []
        for reach, deviation in kernels:
            directions = rng.normal(size=(3, _WAVES_A_KERNEL)) / reach
            phases = rng.uniform(0.0, 2.0 * np.pi, _WAVES_A_KERNEL)
            for columns, places in ((here, points), (there, mirrored)):
                waves = np.cos(places.astype(np.float64) @ directions + phases)
                columns.append(deviation / np.sqrt(_WAVES_A_KERNEL) * waves)
        self._here, self._there = (np.concatenate(c, axis=1) for c in (here, there))
        self.num_waves = self._here.shape[1]

    def field(self, heights: np.ndarray, signs: Sequence[float]) -> np.ndarray:
        """Values [..., V, k] of fields.

        Where a point does not reach its mirror image, each component has the kernels' variance;
        where the two are one, up to twice that: so of a kernel of infinite reach.

        Args:
          heights: [..., W, k] standard normal.
          signs: [k], 1 for a component that is the same on both sides, -1 for the opposite.
        """
        return self._here @ heights + (self._there @ heights) * np.asarray(signs)
