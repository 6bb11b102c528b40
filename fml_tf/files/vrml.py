"""Reads the textured triangle mesh of a VRML 2.0 file, as scanners write it."""

import dataclasses
import os
import pathlib
import re

import numpy as np

_HEADER = "#VRML V2.0"
_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


@dataclasses.dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with a place in a picture for each corner of its triangles.

    Attributes:
      vertices: [V, 3] float64, in the file's order and unit.
      triangles: [F, 3] int64; polygons are cut into fans.
      uv: [F, 3, 2] float64 texture coordinates of the corners, v up; None if the file has none.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None


def read_vrml(path: str | os.PathLike) -> TexturedMesh:
    """Reads the one IndexedFaceSet of a VRML 2.0 (VRML97) text file.

    Transforms, colours and normals are ignored.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not VRML 2.0, cut off, another number of face sets than one, or indices of points
        that are not there.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(_HEADER):
        raise ValueError(f"{path}: does not begin with {_HEADER}")
    text = _COMMENT.sub(lambda match: match[0] if match[0].startswith('"') else " ", text)
    if text.count("{") != text.count("}") or text.count("[") != text.count("]"):
        raise ValueError(f"{path}: is cut off: its brackets do not close")
    try:
        return _read_face_set(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_face_set(text):
    vertices = _numbers(text, r"\bCoordinate\s*\{\s*point", float)
    corners = _numbers(text, r"\bcoordIndex", int)
    if vertices is None or corners is None:
        raise ValueError("holds no IndexedFaceSet with points and faces")
    vertices = vertices.reshape(-1, 3)
    triangles = _fans(corners)
    _check(triangles, len(vertices))
    uv = _numbers(text, r"\bTextureCoordinate\s*\{\s*point", float)
    if uv is not None:
        uv = uv.reshape(-1, 2)
        indices = _numbers(text, r"\btexCoordIndex", int)
        indices = triangles if indices is None else _fans(indices)
        _check(indices, len(uv))
        if indices.shape != triangles.shape:
            raise ValueError("texCoordIndex and coordIndex have different faces")
        uv = uv[indices]
    return TexturedMesh(vertices, triangles, uv)


def _numbers(text, before, kind):
    """The numbers in the brackets after a pattern; None where it is not."""
    found = re.findall(before + r"\s*\[([^\]]*)\]", text)
    if len(found) > 1:
        raise ValueError(f"holds {len(found)} face sets; one is expected")
    return np.array(found[0].replace(",", " ").split(), dtype=kind) if found else None


def _fans(corners):
    """Triangles [F, 3] of polygons that end with -1 each."""
    if len(corners) and corners[-1] != -1:
        corners = np.append(corners, -1)
    ends = np.flatnonzero(corners < 0)
    if not len(ends):
        raise ValueError("holds no face")
    polygons = np.split(corners, ends + 1)[:-1]
    triangles = [
        (polygon[0], polygon[k], polygon[k + 1])
        for polygon in polygons
        for k in range(1, len(polygon) - 2)
    ]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _check(indices, count):
    if not indices.size or indices.min() < 0 or indices.max() >= count:
        raise ValueError(f"its faces name points outside of 0..{count - 1}")
