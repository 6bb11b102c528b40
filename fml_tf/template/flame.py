"""Reads FLAME (flame.is.tue.mpg.de; 2017, 2019, 2020, 2023) as a template.

The model is a pickle, `generic_model.pkl`, of numpy, scipy and chumpy objects. It is read without
chumpy and without trust: only the classes of plain arrays are let through.

Landmarks come from `landmark_embedding.npy` (in DECA's data, github.com/yfeng95/DECA) or
`flame_static_embedding_68_v4.npz` (in MICA's): barycentric points, taken at their nearest vertex.
"""

import os
import pathlib
import pickle
from typing import BinaryIO

import numpy as np
import scipy.sparse
from scipy.spatial.transform import Rotation

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.foreign_model import ForeignModel, make_template, require

_METRE = 1000.0  # in mm
_NUM_IDENTITY = 300  # the components of shapedirs before the expressions
_JAW = 2  # joint
_JAW_OPEN = 0.3  # rad, the blendshape jawOpen at activation 1
_LANDMARK_FILES = (
    "landmark_embedding.npy",
    "flame_static_embedding_68_v4.npz",
    "flame_static_embedding_68.pkl",
)


def read_flame(
    path: str | os.PathLike, landmark_path: str | os.PathLike | None = None
) -> FaceTemplate:
    """Reads a FLAME model.

    Args:
      path: the pickle, such as `generic_model.pkl`.
      landmark_path: a landmark embedding as named above; the one beside the model if None.

    Returns:
      The template of the head without eyeballs. Blendshapes are the expression components (σ = 1),
      then `jawOpen`, the jaw's joint turned by 0.3 rad (σ = 0.3), since FLAME's expressions leave
      the jaw to its pose.

    Raises:
      FileNotFoundError: a file is missing; the message says where it is published.
      ValueError: a file is damaged, lacks a field, or holds objects that are no arrays.
    """
    return make_template(read_flame_model(path, landmark_path))


def read_flame_model(
    path: str | os.PathLike, landmark_path: str | os.PathLike | None = None
) -> ForeignModel:
    """Reads all of a FLAME model but its other joints; arguments and errors as `read_flame`."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; get it from flame.is.tue.mpg.de")
    with path.open("rb") as file:
        model = unpickle_arrays(file, path)
    vertices = require(model, "v_template", path, (None, 3))
    triangles = require(model, "f", path, (None, 3)).astype(np.int64)
    shapes = require(model, "shapedirs", path, (len(vertices), 3, None))
    if shapes.shape[2] <= _NUM_IDENTITY:
        raise ValueError(
            f"{path}: field shapedirs has {shapes.shape[2]} components, no expressions"
        )
    weights = require(model, "weights", path, (len(vertices), None))
    regressor = require(model, "J_regressor", path, (None, len(vertices)))

    expressions = np.moveaxis(shapes[:, :, _NUM_IDENTITY:], 2, 0)
    jaw_joint = regressor[_JAW] @ vertices
    turned = Rotation.from_rotvec([_JAW_OPEN, 0, 0]).apply(vertices - jaw_joint) + jaw_joint
    jaw_open = weights[:, _JAW, None] * (turned - vertices)
    count = len(expressions)
    return ForeignModel(
        name=path.stem,
        vertices=_METRE * vertices,
        triangles=triangles,
        blendshapes=_METRE * np.concatenate([expressions, jaw_open[None]]),
        blendshape_names=[*(f"expression_{i:03d}" for i in range(count)), "jawOpen"],
        blendshape_sigma=np.append(np.ones(count), 0.3),
        landmarks=_read_landmarks(path, landmark_path, vertices, triangles),
        shape_basis=_METRE * np.moveaxis(shapes[:, :, :_NUM_IDENTITY], 2, 0),
    )


def _read_landmarks(model_path, path, vertices, triangles):
    """Returns the 68 vertices nearest to the embedded landmarks."""
    beside = [model_path.with_name(name) for name in _LANDMARK_FILES]
    path = pathlib.Path(path) if path else next((p for p in beside if p.is_file()), beside[0])
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; get it from the data of github.com/yfeng95/DECA and put it there"
        )
    with path.open("rb") as file:
        if path.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                embedding = dict(arrays)
        elif path.suffix == ".npy":
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)  # a pickled dictionary follows
            embedding = unpickle_arrays(file, path).item()
        else:
            embedding = unpickle_arrays(file, path)
    full = "full_lmk_faces_idx" in embedding
    names = (
        ("full_lmk_faces_idx", "full_lmk_bary_coords") if full else ("lmk_face_idx", "lmk_b_coords")
    )
    faces = require(embedding, names[0], path).reshape(-1).astype(np.int64)
    barycentrics = require(embedding, names[1], path).reshape(-1, 3)
    if len(faces) != 68 or len(barycentrics) != 68 or faces.max() >= len(triangles):
        raise ValueError(
            f"{path}: fields {names[0]} and {names[1]} hold {len(faces)} landmarks of this mesh; "
            "68 are needed (the static 51 lack the face's contour)"
        )
    corners = triangles[faces]
    points = np.einsum("lc,lcx->lx", barycentrics, vertices[corners])
    nearest = np.linalg.norm(vertices[corners] - points[:, None], axis=2).argmin(axis=1)
    return corners[np.arange(68), nearest]


class _Standin:
    """Takes the place of an object of chumpy or torch; chumpy's keep their array in `x`."""

    def __init__(self, *args):
        pass

    def __array__(self, dtype=None, copy=None):
        if "x" not in self.__dict__:
            raise ValueError("this object holds no plain array")
        return np.asarray(self.x, dtype)


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays and containers of them; refuses every other class or function."""

    _ALLOWED = frozenset(
        {
            ("__builtin__", "object"),
            ("builtins", "object"),
            ("_codecs", "encode"),
            ("collections", "OrderedDict"),
            ("copy_reg", "_reconstructor"),
            ("copyreg", "_reconstructor"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
        }
    )

    def find_class(self, module, name):
        root = module.split(".")[0]
        if root in ("chumpy", "torch"):
            return _Standin
        if root == "numpy" and name in ("_reconstruct", "scalar"):
            return getattr(np._core.multiarray, name)
        if root == "numpy" and name == "_frombuffer":
            return np._core.numeric._frombuffer
        if root == "scipy" and name in ("csc_matrix", "csr_matrix"):
            return getattr(scipy.sparse, name)
        if (module, name) in self._ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")


def unpickle_arrays(file: BinaryIO, path: pathlib.Path):
    """Unpickles arrays and containers of them from an open file; runs nothing else.

    Args:
      file: at the start of the pickle.
      path: of the file, for the message.

    Raises:
      ValueError: damaged, or it asks for an object that is no array.
    """
    try:
        content = _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(f"{path}: not readable as a pickle of arrays ({error})") from None
    if isinstance(content, dict):
        content = {k: v.toarray() if scipy.sparse.issparse(v) else v for k, v in content.items()}
    return content
