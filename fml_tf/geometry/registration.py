"""Robust alignment of a surface to points without correspondence (iterative closest points)."""

import numpy as np
from scipy.spatial.transform import Rotation

from fml_tf.geometry.alignment import Similarity
from fml_tf.geometry.robust import tukey_weights, tukey_width
from fml_tf.geometry.surface import Surface

# Least spread of the residuals, over the extent of the points: points that lie on the surface to
# rounding would otherwise call each other outliers.
_LEAST_SIGMA = 1e-4
_LEAST_STEP = 1e-7
_MAX_HALVINGS = 6

IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


def fit_surface(
    surface: Surface,
    points: np.ndarray,
    initial: Similarity = IDENTITY,
    weights: np.ndarray | None = None,
    with_scale: bool = True,
    robust: bool = True,
    max_iterations: int = 100,
) -> Similarity:
    """Finds the similarity that brings a surface onto points, such as those of a scan.

    Minimises Σ_p weights_p ρ(distance of point p to the moved surface), with Tukey's biweight ρ
    whose width follows the median residual: what lies far off (hair, spikes, a region that the
    surface lacks) gets no weight. A Gauss-Newton step uses the distance's own gradient, the unit
    vector from the surface to the point, so that it is right on edges and borders too; where the
    points do not determine the pose (as on a sphere) it moves no more than needed.

    The minimum is the one near `initial`. Directions with a fit as good as another's stay as they
    are. No reflection comes out: the result is a proper similarity however the two are handed.

    Args:
      surface: what moves, in its own unit.
      points: [P, 3], in the unit of the result's translation.
      initial: from surface to points, right to some 15 degrees and a tenth of the size.
      weights: [P] non-negative, such as `vertex_areas` of the scan; equal if None.
      with_scale: False keeps the scale of `initial`.
      robust: False squares the distances instead of ρ, for protocols that do.
      max_iterations: largest number of steps; it stops when a step moves nothing further than
        1e-7 of the points' extent.

    Returns:
      The similarity from surface to points.

    Raises:
      ValueError: points of another shape, fewer than four, not finite, or weights that do not fit.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 4:
        raise ValueError(f"points must be [P, 3] with P of 4 or more, got {points.shape}")
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(points),) or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError("weights must be [P], non-negative and not all zero")
    weights = weights / weights.sum()
    extent = np.linalg.norm(np.ptp(points, axis=0))

    fit = initial
    feet, directions, distances = _correspond(surface, points, fit)
    for _ in range(max_iterations):
        median = _weighted_median(distances, weights)
        width = tukey_width(median, _LEAST_SIGMA * extent) if robust else np.inf
        cost = weights @ _cost(distances, width)
        influence = weights * tukey_weights(distances, width)
        step = _gauss_newton_step(feet, directions, distances, influence, extent, with_scale)
        for _ in range(_MAX_HALVINGS):
            moved = _move(fit, step, feet.mean(axis=0), extent)
            attempt = _correspond(surface, points, moved)
            if weights @ _cost(attempt[2], width) <= cost:
                break
            step = step / 2.0
        else:
            break
        fit, (feet, directions, distances) = moved, attempt
        if np.abs(step).max() < _LEAST_STEP:
            break
    return fit


def _correspond(surface, points, fit):
    """Nearest points of the moved surface, unit vectors from there to the points, distances."""
    closest, normals = surface.closest_with_normals(fit.apply_inverse(points))
    feet, normals = fit.apply(closest.points), normals @ fit.rotation.T
    offsets = points - feet
    distances = np.linalg.norm(offsets, axis=1)
    # A point on the surface has no direction of its own: the normal is the limit.
    on_surface = distances < 1e-9 * surface.extent * fit.scale
    directions = np.where(
        on_surface[:, None], normals, offsets / np.where(on_surface, 1.0, distances)[:, None]
    )
    return feet, directions, distances


def _gauss_newton_step(feet, directions, distances, weights, extent, with_scale):
    """[7] small rotation, translation over extent, log scale that shrink the distances."""
    arms = (feet - feet.mean(axis=0)) / extent
    columns = [np.cross(arms, directions), directions]
    if with_scale:
        columns.append(np.sum(arms * directions, axis=1, keepdims=True))
    root = np.sqrt(weights)[:, None]
    jacobian = root * np.concatenate(columns, axis=1)
    step = np.linalg.lstsq(jacobian, root[:, 0] * distances / extent, rcond=1e-5)[0]
    return np.pad(step, (0, 7 - len(step)))


def _move(fit, step, centre, extent):
    turn, stretch = Rotation.from_rotvec(step[:3]).as_matrix(), np.exp(step[6])
    return Similarity(
        float(fit.scale * stretch),
        turn @ fit.rotation,
        stretch * turn @ (fit.translation - centre) + centre + extent * step[3:6],
    )


def _cost(distances, width):
    """Tukey's ρ of a width, up to a factor; the square for an infinite one."""
    if np.isinf(width):
        return distances**2
    return 1.0 - np.maximum(0.0, 1.0 - (distances / width) ** 2) ** 3


def _weighted_median(values, weights):
    order = np.argsort(values, kind="stable")
    heap = np.cumsum(weights[order])
    return values[order[np.searchsorted(heap, 0.5 * heap[-1])]]
