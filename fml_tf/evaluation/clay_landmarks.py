"""Landmarks of a head's mesh that come with none: a landmark detector looks at it as clay."""

import numpy as np
import trimesh

from fml_tf.evaluation.predictions import SEVEN
from fml_tf.files.images import to_bytes
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pictures import clay
from fml_tf.rendering.rasterizer import interpolate, rasterize

_SIZE = 480
# The head is scaled to this height and seen through so long a lens that perspective hardly shows.
_HEIGHT, _DISTANCE = 300.0, 3000.0
_MARGIN = 1.1
_CLAY = 0.85
_BACKGROUND = 0.3
# Pixels about a landmark, [W, 2], and how steep a surface is no hole.
_SLOPE = 2.5
_WINDOW = np.stack(np.meshgrid(range(-6, 7), range(-6, 7)), axis=-1).reshape(-1, 2)


def clay_landmarks(
    vertices: np.ndarray, triangles: np.ndarray, detector: LandmarkDetector
) -> np.ndarray:
    """The mesh's vertices at the seven landmarks of `SEVEN`, as seen from +z with y up.

    Args:
      vertices: [V, 3] of a head that looks along +z, upright, in any unit.
      triangles: [F, 3].
      detector: finds them on the picture.

    Returns:
      [7] int.

    Raises:
      ValueError: no face is found, or a landmark falls outside the mesh.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = _HEIGHT / (high - low)[:2].max()
    posed = np.float32(scale * (vertices - (low + high) / 2) - (0, 0, _DISTANCE))
    triangles = np.int32(triangles)
    camera = PerspectiveCamera(_SIZE * _DISTANCE / (_MARGIN * _HEIGHT), _SIZE, _SIZE)
    fragments = rasterize(posed, triangles, camera)
    ids = fragments.triangle_ids.numpy()
    normals = trimesh.Trimesh(posed, triangles, process=False).vertex_normals
    shaded = _CLAY * clay(interpolate(np.float32(normals), triangles, fragments).numpy())
    picture = np.where(ids[..., None] >= 0, shaded, _BACKGROUND)
    faces = detector.detect(np.repeat(to_bytes(picture), 3, axis=-1))
    if not faces:
        raise ValueError("no face is found on the mesh as seen from +z")
    centres = np.int64(faces[0].landmarks[SEVEN])[:, None] + _WINDOW
    columns, rows = np.moveaxis(np.clip(centres, 0, _SIZE - 1), -1, 0)
    # The detector may look past an eyelid into a hole: then a step aside is better.
    aside = _SLOPE * np.linalg.norm(_WINDOW, axis=1) * _MARGIN * _HEIGHT / _SIZE
    chosen = (fragments.depth.numpy()[rows, columns] + aside).argmin(axis=1)[:, None]
    column, row = (np.take_along_axis(part, chosen, 1)[:, 0] for part in (columns, rows))
    if (ids[row, column] < 0).any():
        raise ValueError("landmarks fall outside the mesh as seen from +z")
    corner = fragments.barycentrics.numpy()[row, column].argmax(axis=1)
    return triangles[ids[row, column], corner]
