"""Reads ICT-FaceKit's light face model (github.com/ICT-VGL/ICT-FaceKit, MIT) as a template.

The folder `FaceXModel`: `generic_neutral_mesh.obj` and, with the same vertices, one OBJ an
expression and one an identity component (`identity000.obj`, at one standard deviation),
centimetres; `vertex_indices.json` with the expressions' names and the 68 landmarks.
"""

import itertools
import json
import os
import pathlib

import numpy as np

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.foreign_model import ForeignModel, make_template, require

_CENTIMETRE = 10.0  # in mm


def read_ict(directory: str | os.PathLike, sigma: float = 0.3) -> FaceTemplate:
    """Reads an ICT face model.

    Args:
      directory: the folder `FaceXModel`, or the repository's that holds it.
      sigma: standard deviation of each activation in [0, 1]; ICT publishes none.

    Returns:
      The template of face, head, mouth and eye sockets (the connected part with the nose). Names of
      expressions are ARKit's: `browDown_L` becomes `browDownLeft`.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged or lacks a field; the message names file and field.
    """
    return make_template(read_ict_model(directory, sigma))


def read_ict_model(directory: str | os.PathLike, sigma: float = 0.3) -> ForeignModel:
    """Reads all of an ICT face model; arguments and errors as `read_ict`."""
    directory = pathlib.Path(directory)
    if (directory / "FaceXModel").is_dir():
        directory = directory / "FaceXModel"
    index_path = directory / "vertex_indices.json"
    try:
        config = json.loads(_read_text(index_path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{index_path}: not readable as JSON ({error})") from None
    landmarks = require(config, "idx_to_landmark_verts", index_path, (68,))
    names = config.get("expressions")
    if not names:
        raise ValueError(f"{index_path}: field expressions is missing")

    neutral_path = directory / "generic_neutral_mesh.obj"
    text = _read_text(neutral_path)
    neutral, triangles = _vertices(text, neutral_path), _triangles(text, neutral_path)

    def displacements(paths):
        meshes = [_vertices(_read_text(path), path) for path in paths]
        for path, vertices in zip(paths, meshes):
            if vertices.shape != neutral.shape:
                raise ValueError(f"{path}: {len(vertices)} vertices, {len(neutral)} in the neutral")
        return _CENTIMETRE * (np.array(meshes).reshape(-1, *neutral.shape) - neutral)

    return ForeignModel(
        name="ict_facekit",
        vertices=_CENTIMETRE * neutral,
        triangles=triangles,
        blendshapes=displacements([directory / f"{name}.obj" for name in names]),
        blendshape_names=[_arkit_name(name) for name in names],
        blendshape_sigma=np.full(len(names), sigma),
        landmarks=landmarks,
        shape_basis=displacements(sorted(directory.glob("identity[0-9][0-9][0-9].obj"))),
    )


def _arkit_name(name):
    sides = {"_L": "Left", "_R": "Right"}
    return name[:-2] + sides[name[-2:]] if name[-2:] in sides else name


def _read_text(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; get it from github.com/ICT-VGL/ICT-FaceKit")
    return path.read_text()


def _vertices(text, path):
    rows = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    try:
        return np.array(rows, np.float64).reshape(-1, 3)
    except ValueError:
        raise ValueError(f"{path}: a line v does not hold three numbers") from None


def _triangles(text, path):
    """Returns [F, 3]: polygons cut as fans from their first corner."""
    triangles = []
    for line in text.splitlines():
        if line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
            triangles += [(corners[0], *pair) for pair in itertools.pairwise(corners[1:])]
    if not triangles:
        raise ValueError(f"{path}: it has no lines f (faces)")
    return np.array(triangles)
