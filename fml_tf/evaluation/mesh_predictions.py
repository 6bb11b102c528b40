"""Predictions as files: meshes with landmarks, read from any method and written from ours."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from fml_tf.evaluation.predictions import Prediction, Shape, as_landmarks
from fml_tf.evaluation.predictors import Method, hash_files
from fml_tf.files.atomic import write_array
from fml_tf.files.meshes import read_mesh, write_obj


class MeshPredictor:
    """Reads another method's meshes from a folder.

    For a frame named A/B it takes `A/B.obj` or `A/B.ply`, or else the one of the whole case, and
    beside the mesh its 7, 66 or 68 landmarks [P, 3] as `.npy` or as a `.txt` of P lines.

    Args:
      directory: the folder.
      unit_mm: of the files.

    Raises:
      FileNotFoundError: no such folder.
    """

    def __init__(self, directory: str | os.PathLike, unit_mm: float = 1.0):
        self._directory, self._unit_mm = pathlib.Path(directory), unit_mm
        if not self._directory.is_dir():
            raise FileNotFoundError(f"{directory}: no such folder of predictions")

    def methods(self, num_frames: Sequence[int | None]) -> list[Method]:
        """One method for each M: the mesh of the first of M frames, or that of the case."""
        labels = [
            "predictions" if count == 1 else f"predictions {count or 'all'}" for count in num_frames
        ]
        return [Method(label, count, self._predict) for label, count in zip(labels, num_frames)]

    def content_hash(self) -> str:
        """Of all files in the folder with their names, and of the unit."""
        files = sorted(path for path in self._directory.rglob("*") if path.is_file())
        names = "\n".join(path.relative_to(self._directory).as_posix() for path in files)
        digest = hashlib.sha256(names.encode())
        digest.update(f"{hash_files(files)} {self._unit_mm:g} mm".encode())
        return digest.hexdigest()

    def _predict(self, case, frames):
        names = [frames[0].name, case]
        stems = [self._directory / name for name in names]
        found = [
            path
            for stem in stems
            for path in (_with(stem, ".obj"), _with(stem, ".ply"))
            if path.is_file()
        ]
        if not found:
            raise FileNotFoundError(
                f"no {names[0]}.obj or .ply, nor one of the case {case}, in {self._directory}"
            )
        mesh, landmarks = read_mesh(found[0]), _read_landmarks(found[0])
        vertices = self._unit_mm * np.asarray(mesh.vertices)
        return Prediction(Shape(vertices, np.asarray(mesh.faces), self._unit_mm * landmarks))


def saving_meshes(method: Method, directory: pathlib.Path, expressive: bool = False) -> Method:
    """The same method, which also writes what it predicts: `METHOD/FRAME.obj` and `FRAME.npy`.

    Mesh and seven landmarks as `MeshPredictor` reads them, of what the protocol scores.

    Args:
      method: what predicts.
      directory: to write to.
      expressive: `Protocol.expressive`. If False, the neutral shape, named by the first of the
        frames, which is what the NoW challenge wants handed in; if True, of each frame that was
        used the face with its expression.
    """

    def predict(case, frames):
        prediction = method.predict(case, frames)
        folder = directory / method.name.replace(" ", "_")
        if expressive:
            used = [frame for frame in frames if frame.name not in prediction.left_out]
            for m, frame in enumerate(used):
                _write_shape(folder / frame.name, prediction.expressive(m))
        else:
            _write_shape(folder / frames[0].name, prediction.shape)
        return prediction

    return dataclasses.replace(method, predict=predict)


def _write_shape(stem, shape):
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_obj(_with(stem, ".obj"), shape.vertices, shape.triangles)
    write_array(_with(stem, ".npy"), shape.seven)


def _read_landmarks(mesh_path):
    for suffix, read in ((".npy", np.load), (".txt", np.loadtxt)):
        path = mesh_path.with_suffix(suffix)
        if path.is_file():
            try:
                points = read(path)
            except (ValueError, EOFError, OSError) as error:
                raise ValueError(f"{path}: not landmarks: {error}") from None
            return as_landmarks(points, str(path))
    raise FileNotFoundError(f"{mesh_path}: no landmarks beside it, as .npy or .txt")


def _with(stem, suffix):
    # (`Path.with_suffix` would cut a name at its last dot.)
    return stem.with_name(stem.name + suffix)
