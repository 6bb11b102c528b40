"""Reads the Basel Face Models 2009, 2017 and 2019 (faces.dmi.unibas.ch/bfm) as a template.

2009 is `01_MorphableModel.mat`, which has no expressions; those come from the FaceWarehouse
transfer of Guo et al. (github.com/Juyong/3DFace), `Exp_Pca.bin`, with `BFM_exp_idx.mat` and
`std_exp.txt` as published in github.com/microsoft/Deep3DFaceReconstruction (folder BFM). All lie
in one folder. 2017 and 2019 are one `.h5` file with expressions inside.

No Basel model publishes 68 landmarks as vertices. For 2009 there is `Landmarks68_BFM.anl`
(github.com/anilbas/BFMLandmarks); for the others, bring a list in the same form.
"""

import os
import pathlib

import h5py
import numpy as np
import scipy.io

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.foreign_model import ForeignModel, make_template, require

_MICROMETRE = 1e-3  # in mm; the unit of the 2009 model and of its expressions


def read_bfm(
    path: str | os.PathLike, landmark_path: str | os.PathLike | None = None
) -> FaceTemplate:
    """Reads a Basel Face Model.

    Args:
      path: `01_MorphableModel.mat`, with the files named above beside it, or `model2017-1_*.h5` or
        `model2019_*.h5`.
      landmark_path: a text file of 68 (or 66) vertex numbers of the model, one per line, in the
        order of Multi-PIE/iBUG; from % or # to the end of a line is a comment. Counted from 1 if it
        ends in .anl, from 0 otherwise. If None: `Landmarks68_BFM.anl` beside a .mat, and the
        model's own name with the ending `.landmarks.txt` beside an .h5.

    Returns:
      The template; blendshapes are the expression components at one standard deviation, σ = 1. Of
      2009, the 53,215 vertices that have expressions.

    Raises:
      FileNotFoundError: a file is missing; the message says where it is published.
      ValueError: a file is damaged or lacks a field; the message names file and field.
    """
    return make_template(read_bfm_model(path, landmark_path))


def read_bfm_model(
    path: str | os.PathLike, landmark_path: str | os.PathLike | None = None
) -> ForeignModel:
    """Reads all of a Basel Face Model; arguments and errors as `read_bfm`."""
    path = pathlib.Path(path)
    if path.suffix not in (".mat", ".h5"):
        raise ValueError(f"{path}: a Basel Face Model is a .mat (2009) or .h5 (2017, 2019) file")
    if landmark_path is None and path.suffix == ".mat":
        landmark_path = path.with_name("Landmarks68_BFM.anl")
    elif landmark_path is None:
        landmark_path = path.with_suffix(".landmarks.txt")
    _check_exists(path, "faces.dmi.unibas.ch/bfm")
    landmarks = _read_landmarks(pathlib.Path(landmark_path))
    return _read_2009(path, landmarks) if path.suffix == ".mat" else _read_h5(path, landmarks)


def _read_2009(path, landmarks):
    model = _load_mat(path)
    mean = require(model, "shapeMU", path, (None, 1)).reshape(-1, 3)
    triangles = require(model, "tl", path, (None, 3)).astype(np.int64) - 1

    index_path = path.with_name("BFM_exp_idx.mat")
    basis_path, sigma_path = path.with_name("Exp_Pca.bin"), path.with_name("std_exp.txt")
    deep3d = "github.com/microsoft/Deep3DFaceReconstruction, folder BFM"
    _check_exists(basis_path, "github.com/Juyong/3DFace (CoarseData)")
    _check_exists(index_path, deep3d)
    _check_exists(sigma_path, deep3d)
    kept = require(_load_mat(index_path), "trimIndex", index_path).reshape(-1).astype(int) - 1
    if kept.min(initial=0) < 0 or kept.max(initial=0) >= len(mean):
        raise ValueError(f"{index_path}: field trimIndex names a vertex outside of {path.name}")
    average, basis = _read_expression_basis(basis_path, len(kept))
    sigma = np.loadtxt(sigma_path, ndmin=1).reshape(-1)
    if len(sigma) < len(basis):
        raise ValueError(f"{sigma_path}: {len(sigma)} values for {len(basis)} expressions")

    renumber = np.full(len(mean), -1)
    renumber[kept] = np.arange(len(kept))
    if landmarks.max() >= len(mean) or (renumber[landmarks] < 0).any():
        raise ValueError(f"{path}: a landmark lies outside of the vertices with expressions")
    triangles = renumber[triangles]
    shapes, colours = (
        _scaled_2009(model, f"{kind}PC", f"{kind}EV", path, len(mean))[:, kept]
        for kind in ("shape", "tex")
    )
    tone = require(model, "texMU", path, (3 * len(mean), 1)).reshape(-1, 3)[kept]
    return ForeignModel(
        name=path.stem,
        vertices=_MICROMETRE * (mean[kept] + average),
        triangles=triangles[(triangles >= 0).all(axis=1)],
        blendshapes=_MICROMETRE * basis * sigma[: len(basis), None, None],
        blendshape_names=[f"expression_{i:03d}" for i in range(len(basis))],
        blendshape_sigma=np.ones(len(basis)),
        landmarks=renumber[landmarks],
        shape_basis=_MICROMETRE * shapes,
        mean_albedo=tone / 255.0,
        albedo_basis=colours / 255.0,
    )


def _scaled_2009(model, basis_name, deviation_name, path, num_vertices):
    """Returns components [k, V, 3], each as long as its standard deviation."""
    basis = require(model, basis_name, path, (3 * num_vertices, None))
    deviations = require(model, deviation_name, path, (basis.shape[1], 1))
    return (basis * deviations.reshape(-1)).T.reshape(-1, num_vertices, 3)


def _read_expression_basis(path, num_vertices):
    """Returns mean [V, 3] and components [K, V, 3] of a file of int32 K and (K + 1)·V·3 float32."""
    data = path.read_bytes()
    count = int(np.frombuffer(data[:4], "<i4")[0]) if len(data) >= 4 else 0
    expected = 4 + 4 * (count + 1) * 3 * num_vertices
    if count <= 0 or len(data) != expected:
        raise ValueError(
            f"{path}: {len(data)} bytes; {count} components of {num_vertices} vertices take "
            f"{expected} (truncated, or of another mesh than BFM_exp_idx.mat)"
        )
    values = np.frombuffer(data[4:], "<f4").astype(np.float64).reshape(count + 1, num_vertices, 3)
    return values[0], values[1:]


def _read_h5(path, landmarks):
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from None
    with file:
        mean = require(file, "shape/model/mean", path, (None,)).reshape(-1, 3)
        triangles = require(file, "shape/representer/cells", path)
        average = require(file, "expression/model/mean", path, (mean.size,)).reshape(-1, 3)
        blendshapes = _scaled_h5(file, "expression", path, mean.size)
        shapes = _scaled_h5(file, "shape", path, mean.size)
        colours = tone = None
        if "color/model/mean" in file:
            tone = require(file, "color/model/mean", path, (mean.size,)).reshape(-1, 3)
            colours = _scaled_h5(file, "color", path, mean.size)
    if triangles.ndim != 2 or 3 not in triangles.shape:
        raise ValueError(f"{path}: field shape/representer/cells is {triangles.shape}, not 3 x F")
    triangles = triangles.T if triangles.shape[0] == 3 else triangles
    return ForeignModel(
        name=path.stem,
        vertices=mean + average,
        triangles=triangles.astype(np.int64),
        blendshapes=blendshapes,
        blendshape_names=[f"expression_{i:03d}" for i in range(len(blendshapes))],
        blendshape_sigma=np.ones(len(blendshapes)),
        landmarks=landmarks,
        shape_basis=shapes,
        mean_albedo=tone,
        albedo_basis=colours,
    )


def _scaled_h5(file, kind, path, size):
    """Returns components [k, V, 3], each as long as its standard deviation."""
    basis = require(file, f"{kind}/model/pcaBasis", path, (size, None))
    variance = require(file, f"{kind}/model/pcaVariance", path, (basis.shape[1],))
    return (basis * np.sqrt(variance)).T.reshape(len(variance), -1, 3)


def _read_landmarks(path):
    _check_exists(
        path,
        "for BFM 2009 at github.com/anilbas/BFMLandmarks; for 2017 and 2019 list the 68 vertices, "
        "one number per line, and",
    )
    lines = path.read_text().splitlines()
    words = [line.split("%")[0].split("#")[0].strip() for line in lines]
    try:
        vertices = np.array([int(float(word)) for word in words if word])
    except ValueError:
        raise ValueError(f"{path}: expected one vertex number per line") from None
    if len(vertices) not in (66, 68):
        raise ValueError(f"{path}: {len(vertices)} landmarks; 68 or 66 are needed")
    return vertices - 1 if path.suffix == ".anl" else vertices


def _load_mat(path):
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise ValueError(f"{path}: not a readable MATLAB file ({error})") from None


def _check_exists(path, published):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; get it from {published} put it there")
