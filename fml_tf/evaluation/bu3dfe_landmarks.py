"""BU-3DFE's 83 feature points, and which of ours they are.

Their groups are known: two eyes, two brows, nose, outer and inner lips, face contour. Where a group
starts and which way it goes is found from the points themselves.
"""

import pathlib

import numpy as np

from fml_tf.evaluation.predictions import SEVEN
from fml_tf.evaluation.protocols.layouts import require_file

_EYES, _BROWS = (slice(0, 8), slice(8, 16)), (slice(16, 26), slice(26, 36))
_NOSTRILS = slice(42, 48)
_OUTER_LIPS, _INNER_LIPS = slice(48, 60), slice(60, 68)
_CONTOUR = slice(68, 83)
# Ours: see docs/conventions.md. The inner lips' corners (0 and 4 of 8) are not among our 66.
_OUR_CHIN, _OUR_BROW_ENDS, _OUR_LIPS = [8], [17, 21, 22, 26], np.arange(48, 66)
_INNER_WITHOUT_CORNERS = np.array([1, 2, 3, 5, 6, 7])


def read_indexed_points(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads lines INDEX X Y Z, as BU-3DFE's .bnd files have them: [P] int and [P, 3].

    Raises:
      FileNotFoundError: no such file.
      ValueError: lines of another form, numbers that are not finite, or broken indices.
    """
    require_file(path, "a file of points")
    try:
        values = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: not lines of INDEX X Y Z: {error}") from None
    if values.shape[1:] != (4,) or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{path}: not lines of INDEX X Y Z")
    indices = values[:, 0].astype(int)
    if (indices != values[:, 0]).any():
        raise ValueError(f"{path}: an INDEX is not a whole number")
    return indices, values[:, 1:]


def seven_of_83(points: np.ndarray) -> np.ndarray:
    """The seven points of `SEVEN` [7, 3] from the 83 [83, 3]."""
    across, _ = _axes(points)
    nostrils = points[_NOSTRILS]
    below_nose = nostrils[np.argsort(nostrils @ across)[2:4]].mean(axis=0)
    mouth = _extremes(points[_OUTER_LIPS], across)
    return np.stack([*_ends(points, _EYES, across), below_nose, *mouth])


def landmarks_of_83(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of our 66 landmarks that the 83 points [83, 3] have: [L] indices and [L, 3] points."""
    axes = _axes(points)
    outer = _in_our_order(points[_OUTER_LIPS], *axes)
    inner = _in_our_order(points[_INNER_LIPS], *axes)[_INNER_WITHOUT_CORNERS]
    brows = _ends(points, _BROWS, axes[0])
    chin = points[_CONTOUR][[(points[_CONTOUR] @ axes[1]).argmin()]]
    indices = np.concatenate([SEVEN[:5], _OUR_BROW_ENDS, _OUR_CHIN, _OUR_LIPS])
    return indices, np.concatenate([seven_of_83(points)[:5], brows, chin, outer, inner])


def _axes(points):
    """Unit vectors from the person's right eye to the left one, and from mouth to eyes.

    A scan looks along +z with y up, so that the right eye is the one with the smaller x.
    """
    first, second = (points[eye].mean(axis=0) for eye in _EYES)
    across = (second - first) * np.sign(second[0] - first[0])
    up = (first + second) / 2 - points[_OUTER_LIPS].mean(axis=0)
    return across / np.linalg.norm(across), up / np.linalg.norm(up)


def _ends(points, groups, across):
    """Right and left end of the person's right group, then of the left one."""
    sides = sorted((points[group] for group in groups), key=lambda side: (side @ across).mean())
    return [end for side in sides for end in _extremes(side, across)]


def _extremes(points, axis):
    along = points @ axis
    return points[along.argmin()], points[along.argmax()]


def _in_our_order(loop, across, up):
    """A closed loop of points from the right corner over the top to the left one and back."""
    loop = np.roll(loop, -int((loop @ across).argmin()), axis=0)
    heights, half = loop @ up, len(loop) // 2
    if heights[1:half].mean() < heights[half + 1 :].mean():
        loop = np.roll(loop[::-1], 1, axis=0)
    return loop
