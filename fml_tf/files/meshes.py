"""Triangle meshes with vertex colours to and from OBJ and PLY files."""

import io
import logging
import os
import pathlib
import re

import numpy as np
import trimesh
from trimesh.exchange.obj import export_obj

from fml_tf.files.atomic import write_bytes, write_text
from fml_tf.files.images import to_bytes

# It logs every mesh of quads that it cuts into triangles.
logging.getLogger("trimesh").setLevel(logging.WARNING)

_VERTEX_OR_FACE = re.compile(r"^[ \t]*[vf][ \t].*$", re.MULTILINE)


def write_obj(
    path: str | os.PathLike,
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray | None = None,
) -> None:
    """Writes a Wavefront OBJ, atomically.

    Args:
      path: of the file.
      vertices: [V, 3], written with six decimals in the unit they come in.
      triangles: [F, 3] vertex indices, counter-clockwise seen from outside.
      colours: [V, 3] sRGB, float in [0, 1] (clipped) or uint8; written behind each position
        (`v x y z r g b`), as MeshLab and Blender read it, with eight bits a channel.

    Raises:
      ValueError: shapes that do not fit, a value that is not finite, or an index out of range.
    """
    mesh = _mesh(vertices, triangles, colours)
    text = export_obj(mesh, include_normals=False, include_texture=False, digits=6, header="fml-tf")
    write_text(path, text)


def write_ply(
    path: str | os.PathLike,
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray | None = None,
) -> None:
    """Writes a binary PLY (float32 positions, uint8 colours), atomically; as `write_obj`."""
    data = _mesh(vertices, triangles, colours).export(file_type="ply", vertex_normal=False)
    write_bytes(path, data)


def read_mesh(path: str | os.PathLike) -> trimesh.Trimesh:
    """Reads a triangle mesh, vertices in the file's order and number, none merged.

    Polygons are triangulated. Vertex colours, where the file has them, are in
    `.visual.vertex_colors` ([V, 4] uint8) and `.visual.kind` is "vertex"; texture coordinates and
    materials of an OBJ are ignored.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a mesh that trimesh reads, or one with no vertices.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mesh file")
    try:
        source, file_type = path, None
        if path.suffix.lower() == ".obj":
            source, file_type = io.StringIO(_bare_obj(path)), "obj"
        mesh = trimesh.load_mesh(source, file_type=file_type, process=False, maintain_order=True)
    except Exception as error:  # trimesh's parsers raise whatever the broken text provokes
        raise ValueError(f"{path}: not a readable mesh: {error}") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.vertices) == 0:
        raise ValueError(f"{path}: holds no triangle mesh")
    return mesh


def _bare_obj(path):
    """An OBJ's positions and faces: trimesh repeats vertices for its texture and materials."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    return re.sub(r"/\S*", "", "\n".join(_VERTEX_OR_FACE.findall(text)))


def _mesh(
    vertices: np.ndarray, triangles: np.ndarray, colours: np.ndarray | None
) -> trimesh.Trimesh:
    vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise ValueError(f"vertices must be finite and [V, 3], got {vertices.shape}")
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles must be [F, 3], got {triangles.shape}")
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(vertices):
        raise ValueError(f"triangles refer to vertices outside of 0..{len(vertices) - 1}")
    if colours is not None:
        if np.shape(colours) != vertices.shape:
            raise ValueError(f"colours must be {vertices.shape}, got {np.shape(colours)}")
        if not np.isfinite(colours).all():
            raise ValueError("colours must be finite")
        colours = to_bytes(colours)
    return trimesh.Trimesh(vertices, triangles, vertex_colors=colours, process=False)
