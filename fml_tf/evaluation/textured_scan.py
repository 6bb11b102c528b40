"""Scans with a photographed texture: reading, rendering, and landmarks found in renderings."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from fml_tf.files.images import read_image
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.rasterizer import interpolate, rasterize
from fml_tf.rendering.sampling import sample_bilinear

_BACKGROUND = 0.6
_SUFFIXES = (".bmp", ".jpg", ".png")
# The camera that landmarks are searched with, and the turns of the scan about the vertical that it
# tries: scanners disagree on which axis looks at them.
_SIZE, _FOCAL_LENGTH, _FILLED = 640, 3.0, 0.85
_YAWS = (0, 180, 90, -90)


@dataclasses.dataclass(frozen=True, eq=False)
class TexturedScan:
    """A mesh with a texture.

    Attributes:
      vertices: [V, 3], those on seams of the texture twice.
      triangles: [F, 3].
      uv: [V, 2] in [0, 1], v upwards.
      texture: [H, W, 3] uint8 RGB.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    texture: np.ndarray


def read_textured_scan(path: pathlib.Path) -> TexturedScan:
    """Reads an OBJ with texture coordinates and the picture of its name beside it.

    Raises:
      FileNotFoundError: no such file, or no picture.
      ValueError: a mesh that cannot be read, or one without texture coordinates.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such scan")
    pictures = [path.with_suffix(suffix) for suffix in _SUFFIXES]
    found = [picture for picture in pictures if picture.is_file()]
    if not found:
        raise FileNotFoundError(f"{path}: its texture is not beside it, as {', '.join(_SUFFIXES)}")
    try:
        mesh = trimesh.load_mesh(path, process=False)
        uv = np.asarray(mesh.visual.uv, np.float64)
        vertices, triangles = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    except Exception as error:  # trimesh's parsers raise whatever the broken text provokes
        raise ValueError(f"{path}: not a textured mesh: {error}") from error
    if uv.shape != (len(vertices), 2) or not len(triangles):
        raise ValueError(f"{path}: has no texture coordinates")
    return TexturedScan(vertices, triangles, uv, read_image(found[0]))


def render_scan(
    scan: TexturedScan, vertices: np.ndarray, camera: PerspectiveCamera
) -> tuple[np.ndarray, np.ndarray]:
    """Renders a scan by its texture alone, unlit, before grey.

    Args:
      scan: gives triangles and texture.
      vertices: [V, 3] in camera space.
      camera: W x H.

    Returns:
      The picture [H, W, 3] uint8, and the points in camera space that its pixels show [H, W, 3],
      NaN on the background.
    """
    triangles = np.asarray(scan.triangles, np.int32)
    fragments = rasterize(np.float32(vertices), triangles, camera)
    attributes = np.float32(np.concatenate([scan.uv, vertices], axis=1))
    uv, points = np.split(interpolate(attributes, triangles, fragments).numpy(), [2], axis=-1)
    height, width = scan.texture.shape[:2]
    positions = np.stack([uv[..., 0] * width, (1.0 - uv[..., 1]) * height], axis=-1)
    texture = tf.constant(scan.texture[None], tf.float32)
    colours = sample_bilinear(texture, np.float32(positions.reshape(-1, 2, 1))).numpy()
    shown = fragments.triangle_ids.numpy()[..., None] >= 0
    picture = np.where(shown, colours.reshape(points.shape), 255 * _BACKGROUND)
    return np.uint8(picture), np.where(shown, points, np.nan)


def find_scan_landmarks(scan: TexturedScan) -> np.ndarray:
    """Finds the 66 landmarks of a face scan that stands upright (y up), in its own space.

    The detector is asked in a rendering of the scan; a landmark is the point of the surface that
    its pixel shows, or the nearest pixel that shows any (on the contour).

    Returns:
      [66, 3].

    Raises:
      ValueError: no face is seen in any rendering.
    """
    low, high = scan.vertices.min(axis=0), scan.vertices.max(axis=0)
    centre, extent = (low + high) / 2.0, float((high - low).max())
    camera = PerspectiveCamera(_FOCAL_LENGTH * _SIZE, _SIZE, _SIZE)
    away = np.array([0.0, 0.0, _FOCAL_LENGTH * extent / _FILLED])
    detector = make_landmark_detector()
    for yaw in _YAWS:
        turn = Rotation.from_euler("y", yaw, degrees=True)
        picture, points = render_scan(scan, turn.apply(scan.vertices - centre) - away, camera)
        faces = detector.detect(picture)
        if faces:
            rows, columns = np.nonzero(np.isfinite(points[..., 0]))
            tree = cKDTree(np.stack([columns, rows], axis=1) + 0.5)
            nearest = tree.query(faces[0].landmarks)[1]
            return turn.inv().apply(points[rows[nearest], columns[nearest]] + away) + centre
    raise ValueError("no face is seen in renderings of the scan")
