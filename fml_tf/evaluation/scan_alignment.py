"""Lays a predicted face on a scan and measures how far away the scan is."""

import numpy as np

from fml_tf.evaluation.measures import mean, point_to_point
from fml_tf.evaluation.predictions import Shape
from fml_tf.evaluation.protocols.base import ErrorMap
from fml_tf.geometry.alignment import Similarity, procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface, vertex_areas

# So many points of the scan guide the ICP; all are measured.
_FIT_POINTS = 1500


def align_and_measure(
    vertices: np.ndarray,
    triangles: np.ndarray,
    measured: np.ndarray,
    seven: np.ndarray,
    shape: Shape,
) -> tuple[float, np.ndarray, ErrorMap]:
    """Aligns a shape by seven landmarks, then by robust ICP with scale; measures the scan from it.

    Args:
      vertices: [V, 3] mm, of the scan.
      triangles: [F, 3].
      measured: [V] bool, P of them true.
      seven: [7, 3] landmarks on the scan, as `Shape.seven`.
      shape: what to align.

    Returns:
      Mean distance of the measured vertices to the shape, weighted by area; the distances [P]; and
      the picture of them.
    """
    points, areas = vertices[measured], vertex_areas(vertices, triangles)[measured]
    surface, some = Surface(shape.vertices, shape.triangles), every_few(points)
    fit = fit_surface(surface, points[some], procrustes(shape.seven, seven), areas[some])
    distances = fit.scale * point_to_point(fit.apply_inverse(points), surface)
    errors = np.full(len(vertices), np.nan)
    errors[measured] = distances
    picture = error_map(vertices, triangles, errors, fit, shape)
    return mean(distances, areas), distances, picture


def every_few(points: np.ndarray) -> slice:
    """Those of many points that guide an ICP: evenly spaced in their order."""
    return slice(None, None, max(1, len(points) // _FIT_POINTS))


def error_map(
    vertices: np.ndarray,
    triangles: np.ndarray,
    errors: np.ndarray,
    fit: Similarity,
    shape: Shape,
) -> ErrorMap:
    """An `ErrorMap` of a scan and of a shape that `fit` brings onto it."""
    return ErrorMap(
        vertices,
        triangles,
        errors,
        fit.apply(shape.vertices),
        shape.triangles,
        fit.apply(shape.seven),
    )
