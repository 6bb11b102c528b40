"""Methods: from a case's frames to a `Prediction`, by our model or from files of any other."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fml_tf.evaluation.predictions import FaceFit, Frame, Prediction, Shape, as_landmarks
from fml_tf.losses.photometric import photometric_error_rgb, photometric_weights
from fml_tf.mesh.files import atomic_path, read_mesh, write_obj
from fml_tf.model.fml_model import CHECKPOINT_FOLDER, MODEL_FILE, FmlModel
from fml_tf.preprocessing.faces import FaceBox, HogFaceDetector
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, prepare_image
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.structures import FaceParameters

_MOST_CROPS = 500  # kept at once

Predict = Callable[[str, Sequence[Frame]], Prediction]
"""A case's name and M of its frames → the prediction."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to predict, with a name for tables.

    Attributes:
      name: such as "pooled 4"; a file name too.
      num_frames: M, frames that one prediction is made from.
      predict: see `Predict`.
    """

    name: str
    num_frames: int
    predict: Predict


class ModelPredictor:
    """Predicts with a trained model.

    Args:
      model: the model.
      min_face_size: least width of a face's crop in a picture, px.
      min_confidence: least mean confidence of its landmarks.
    """

    def __init__(self, model: FmlModel, min_face_size: int = 60, min_confidence: float = 0.3):
        self._model = model
        self._settings = CropSettings(
            margin=model.config.crop_margin,
            size=model.config.crop_size,
            min_width=min_face_size,
            min_confidence=min_confidence,
            focal_length=model.config.focal_length,
        )
        template = model.template
        self._face = tf.constant(template.regions["face"])
        self._encode = tf.function(model.encode, reduce_retracing=True)
        # By frame: the methods see the same ones, and finding faces takes longest.
        self._crops: dict[str, np.ndarray] = {}

    def methods(self, num_frames: Sequence[int]) -> list[Method]:
        """Mean face; then for each M single frames averaged, and features pooled (the paper)."""
        methods = [Method("mean face", max(num_frames), self._predict_mean)]
        for count in num_frames:
            if count > 1:
                methods.append(Method(f"averaged {count}", count, self._predict_averaged))
            methods.append(Method(f"pooled {count}", count, self._predict_pooled))
        return methods

    def crops(self, frames: Sequence[Frame]) -> np.ndarray:
        """Crops [M, S, S, 3] uint8 RGB of the frames' faces.

        Raises:
          FaceError: no usable face in a frame.
          ValueError: a crop of another size than the model's.
        """
        size = self._model.config.crop_size
        crops = [frame.image if frame.is_crop else self._crop(frame) for frame in frames]
        for frame, crop in zip(frames, crops):
            if crop.shape != (size, size, 3):
                raise ValueError(f"{frame.name}: a crop of {crop.shape[:2]} px, not of {size}")
        return np.stack(crops)

    def _crop(self, frame):
        if frame.name not in self._crops:
            if len(self._crops) >= _MOST_CROPS:
                self._crops.clear()
            self._crops[frame.name] = self._prepare(frame)
        return self._crops[frame.name]

    def _prepare(self, frame):
        template = self._model.template
        detector = (
            _detector() if frame.box is None else DlibLandmarkDetector(_FacesInBox(frame.box))
        )
        points = template.mean_shape[template.landmark_vertices]
        return prepare_image(frame.image, detector, points, self._settings).crop

    def _predict_mean(self, _, frames):
        batch = self._batch(frames)
        mask = tf.ones(batch.shape[:2], tf.bool)
        return self._decode(batch, self._encode(batch, mask, identity_at_mean=True))

    def _predict_pooled(self, _, frames):
        batch = self._batch(frames)
        return self._decode(batch, self._encode(batch, tf.ones(batch.shape[:2], tf.bool)))

    def _predict_averaged(self, _, frames):
        batch = self._batch(frames)
        singles = tf.transpose(batch, (1, 0, 2, 3, 4))
        fits = self._encode(singles, tf.ones(singles.shape[:2], tf.bool))
        # The face model is linear in α and β: their mean is the mean of the faces.
        parameters = FaceParameters(
            shape=tf.reduce_mean(fits.shape, axis=0, keepdims=True),
            albedo=tf.reduce_mean(fits.albedo, axis=0, keepdims=True),
            **{
                name: tf.stack([getattr(fits, name)[:, 0]])
                for name in ("rotation", "translation", "expression", "illumination")
            },
        )
        return self._decode(batch, parameters)

    def _batch(self, frames):
        return tf.constant(self.crops(frames)[None], tf.float32) / 255.0

    def _decode(self, batch, parameters):
        model, template = self._model, self._model.template
        faces = model.decode(parameters)
        observed = sample_bilinear(batch[0], faces.positions)
        everywhere = tf.ones(tf.shape(faces.visible)[1:], tf.bool)
        weights = photometric_weights(faces.visible, everywhere, self._face)
        error = photometric_error_rgb(faces.colours, observed, weights)
        expressions = model.face_model.expression_displacements(parameters.expression[0])
        vertices = faces.identity_vertices[..., 0].numpy().astype(np.float64)
        return Prediction(
            Shape(vertices, template.triangles, vertices[template.landmark_vertices]),
            FaceFit(
                landmark_vertices=template.landmark_vertices,
                albedo=faces.albedo[..., 0].numpy(),
                expressions=_frames_first(expressions),
                rotation=parameters.rotation[0].numpy(),
                positions=_frames_first(faces.positions),
                illumination=parameters.illumination[0].numpy(),
                photometric_error=error.numpy(),
            ),
        )


class MeshPredictor:
    """Reads another method's meshes from a folder.

    For a frame named A/B it takes `A/B.obj` or `A/B.ply`, or else the one of the whole case, and
    beside the mesh its 7, 66 or 68 landmarks [P, 3] as `.npy` or as a `.txt` of P lines.

    Args:
      directory: the folder.

    Raises:
      FileNotFoundError: no such folder.
    """

    def __init__(self, directory: str | os.PathLike):
        self._directory = pathlib.Path(directory)
        if not self._directory.is_dir():
            raise FileNotFoundError(f"{directory}: no such folder of predictions")

    def methods(self) -> list[Method]:
        """One method: what is in the folder."""
        return [Method("predictions", 1, self._predict)]

    def content_hash(self) -> str:
        """Of all files in the folder with their names."""
        files = sorted(path for path in self._directory.rglob("*") if path.is_file())
        names = "\n".join(path.relative_to(self._directory).as_posix() for path in files)
        digest = hashlib.sha256(names.encode())
        digest.update(hash_files(files).encode())
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
        mesh = read_mesh(found[0])
        return Prediction(
            Shape(np.asarray(mesh.vertices), np.asarray(mesh.faces), _read_landmarks(found[0]))
        )


def saving_meshes(method: Method, directory: pathlib.Path) -> Method:
    """The same method, which also writes what it predicts: `METHOD/FRAME.obj` and `FRAME.npy`.

    The neutral shape and its seven landmarks, named by the first of the frames: what
    `MeshPredictor` reads, and what the NoW challenge wants handed in.
    """

    def predict(case, frames):
        prediction = method.predict(case, frames)
        stem = directory / method.name.replace(" ", "_") / frames[0].name
        stem.parent.mkdir(parents=True, exist_ok=True)
        shape = prediction.shape
        write_obj(_with(stem, ".obj"), shape.vertices, shape.triangles)
        with atomic_path(_with(stem, ".npy")) as temporary:
            np.save(temporary, shape.seven)
        return prediction

    return dataclasses.replace(method, predict=predict)


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


def checkpoint_hash(run_dir: str | os.PathLike) -> str:
    """SHA-256 over the newest checkpoint of a training run and its model config.

    Raises:
      FileNotFoundError: the folder holds none.
    """
    run_dir = pathlib.Path(run_dir)
    newest = tf.train.latest_checkpoint(run_dir / CHECKPOINT_FOLDER)
    if newest is None:
        raise FileNotFoundError(f"{run_dir}: holds no checkpoint yet")
    files = sorted(pathlib.Path(newest).parent.glob(f"{pathlib.Path(newest).name}.*"))
    return hash_files([run_dir / MODEL_FILE, *files])


def hash_files(paths: Sequence[pathlib.Path]) -> str:
    """SHA-256 over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _frames_first(values):
    """[V, C, N] tensor → [N, V, C] array."""
    return np.moveaxis(values.numpy(), -1, 0)


def _with(stem, suffix):
    # (`Path.with_suffix` would cut a name at its last dot.)
    return stem.with_name(stem.name + suffix)


@functools.cache
def _detector():
    return DlibLandmarkDetector()


class _FacesInBox:
    """Finds the faces that lie in a given box, or, if there is none, the box itself.

    Landmarks hang on how the detector draws its boxes, and a data set's are drawn by another.
    """

    def __init__(self, box):
        self._left, self._top, self._right, self._bottom = box
        self._detector = HogFaceDetector()

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[FaceBox]:
        del near  # the given box says it
        faces = []
        for face in self._detector.detect(image):
            u, v = face.left + face.width / 2, face.top + face.width / 2
            if self._left < u < self._right and self._top < v < self._bottom:
                faces.append(face)
        return faces or [self._as_square()]

    def _as_square(self):
        width = max(self._right - self._left, self._bottom - self._top)
        left = (self._left + self._right - width) / 2
        return FaceBox(left, (self._top + self._bottom - width) / 2, width, score=0.0)
