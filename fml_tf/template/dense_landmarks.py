"""Where the 468 points of MediaPipe's face mesh lie on the open template."""

import dataclasses
import functools
import pathlib

import numpy as np

ASSET = pathlib.Path(__file__).parent / "assets" / "dense_landmarks.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class DenseLandmarks:
    """Surface points of the template, at every level of subdivision.

    Attributes:
      corners: [468, 3] int32, coarse vertices that each point lies between.
      weights: [468, 3] float32 ≥ 0, of the corners; sum to one.
      anchored: [468] bool, points in the region "face" that keep to one place of the surface. The
        others slide, as those of the mesh's rim do, or lie beyond.
      modes: [K, A, 3] float32 mm, across, down and in depth: how the anchored points err together
        on renderings. An error is their sum with independent factors of mean square 1, and
      deviation: [A, 2] float32 mm, root mean square across or down and in depth, what each of them
        errs by itself.
    """

    corners: np.ndarray
    weights: np.ndarray
    anchored: np.ndarray
    modes: np.ndarray
    deviation: np.ndarray

    def of(self, vertices: np.ndarray) -> np.ndarray:
        """Where the points are, [..., 468, C], on vertices [..., V, C] of the template."""
        return (vertices[..., self.corners, :] * self.weights[..., None]).sum(axis=-2)


@functools.cache
def load_dense_landmarks() -> DenseLandmarks:
    """The points' places, as `tools/assets/calibrate_landmarks.py` found them."""
    with np.load(ASSET) as archive:
        return DenseLandmarks(
            corners=archive["corners"].astype(np.int32),
            weights=archive["weights"],
            anchored=archive["anchored"],
            modes=archive["modes"],
            deviation=archive["deviation"],
        )
