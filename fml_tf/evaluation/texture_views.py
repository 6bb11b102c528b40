"""The two photographs that a scanner has put side by side into a scan's texture."""

import pathlib

import numpy as np

from fml_tf.evaluation.measures import rms
from fml_tf.files.vrml import TexturedMesh

# Corners of the mesh that a photograph must colour at least, so that its camera can be found.
_LEAST_CORNERS = 100
# What the camera's perspective may add, over the photograph's width.
_LARGEST_CAMERA_ERROR = 0.03


def split_texture(
    texture: np.ndarray, mesh: TexturedMesh, landmarks: np.ndarray, source: pathlib.Path
) -> list[tuple[np.ndarray, tuple[float, float, float, float]]]:
    """The two photographs of a scan's texture, with the face's box in each.

    The texture coordinates say where the scan's points are in a photograph, and so give its camera
    (affine, by least squares); the box is that of the landmarks that it sees or would see.

    Args:
      texture: [H, W, 3] uint8.
      mesh: the scan.
      landmarks: [P, 3] on it.
      source: named in errors.

    Returns:
      Left and right half, each [H, W // 2, 3] and (left, top, right, bottom) px.

    Raises:
      ValueError: the scan has no texture coordinates, or hardly any in one of the halves, or they
        are no view of it.
    """
    if mesh.uv is None:
        raise ValueError(f"{source}: has no texture coordinates")
    height, width = texture.shape[0], texture.shape[1] // 2
    corners = mesh.vertices[mesh.triangles].reshape(-1, 3)
    pixels = mesh.uv.reshape(-1, 2) * (texture.shape[1], -height) + (0, height)
    photographs = []
    for side in (0, 1):
        seen = pixels[:, 0] // width == side
        if seen.sum() < _LEAST_CORNERS:
            raise ValueError(f"{source}: its texture has no view in its half {side + 1} of 2")
        camera = np.linalg.lstsq(_with_one(corners[seen]), pixels[seen], rcond=None)[0]
        if rms(np.linalg.norm(_with_one(corners[seen]) @ camera - pixels[seen], axis=1)) > (
            _LARGEST_CAMERA_ERROR * width
        ):
            raise ValueError(f"{source}: half {side + 1} of its texture is not a photograph of it")
        places = _with_one(landmarks) @ camera - (side * width, 0)
        box = (*places.min(axis=0), *places.max(axis=0))
        photographs.append((texture[:, side * width : (side + 1) * width], box))
    return photographs


def _with_one(points):
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)
