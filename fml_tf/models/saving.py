"""Models in folders: what is needed to use one, and to know what its numbers mean.

A saved model is a folder of three files. `weights.npz` holds the weights by name. `constants.npz`
holds what was derived from the template when the model was made (`FaceModel.constants`), and where
they are known the mean of the people that it learned from and how far its answers lie from the
truth (`AnswerPrior`). `model.json` says what it is: format,
system, config, template with its hash, licence, training data, metrics, and the hashes of the other
two.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from fml_tf import __version__
from fml_tf.config import ModelConfig
from fml_tf.files.atomic import write_json
from fml_tf.models.building import SYSTEMS, build_model
from fml_tf.models.prior import AnswerPrior
from fml_tf.models.reconstructor import FaceReconstructor

FORMAT = 1
MODEL_FILE, WEIGHTS_FILE, CONSTANTS_FILE = "model.json", "weights.npz", "constants.npz"
BEST, LAST = "best", "last"
"""Folders of a training run that hold saved models."""
SHIPPED = pathlib.Path(__file__).parent / "assets" / "supervised"
"""The model that comes with this package; docs/model_card.md describes it."""
CHECKPOINT_HELP = (
    "A saved model, or the --output_dir of train.py, whose best model is taken; the model that "
    "ships, if not given."
)
"""Of the flag --checkpoint."""
_MEAN = "training_mean"


@dataclasses.dataclass(frozen=True)
class Description:
    """What a saved model says of itself, beside what follows from the model.

    Attributes:
      training_data: name and version of the data set that it learned from.
      licence: under which the weights are given away.
      metrics: figures, with what they were measured on.
      steps: of the training.
    """

    training_data: str = ""
    licence: str = ""
    metrics: Mapping = dataclasses.field(default_factory=dict)
    steps: int = 0


def weights_by_name(model: FaceReconstructor) -> dict[str, tf.Variable]:
    """All weights; names are the layers' own, without the system's."""
    prefix = f"{model.name}/"
    return {weight.path.removeprefix(prefix): weight.value for weight in model.weights}


def save_model(
    model: FaceReconstructor,
    directory: str | os.PathLike,
    description: Description = Description(),
    dtype: str = "float32",
) -> None:
    """Writes a model, whole or not at all; an existing one is replaced.

    Args:
      model: the model.
      directory: the folder to write.
      description: goes into `model.json`.
      dtype: of the stored weights: "float32", or "float16", which halves the file; `model.json`
        then says what that costs.

    Raises:
      ValueError: a weight that is not finite, or overflows in float16.
    """
    directory = pathlib.Path(os.path.abspath(directory))
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as parent:
        folder = pathlib.Path(parent, directory.name)
        folder.mkdir()
        weights = {}
        for name, variable in weights_by_name(model).items():
            with np.errstate(over="ignore"):
                weights[name] = variable.numpy().astype(dtype)
            if not np.isfinite(weights[name]).all():
                raise ValueError(f"{name}: holds a value that {dtype} cannot store")
        _write_arrays(folder / WEIGHTS_FILE, weights)
        mean = {} if model.training_mean is None else {_MEAN: model.training_mean}
        prior = {} if model.prior is None else model.prior.to_arrays()
        _write_arrays(folder / CONSTANTS_FILE, model.face_model.constants() | mean | prior)
        values = {
            "format": FORMAT,
            "system": model.config.system,
            "config": dataclasses.asdict(model.config),
            "template": {"name": model.template.name, "hash": model.template.content_hash()},
            **dataclasses.asdict(description),
            "dtype": dtype,
            "versions": {
                "fml_tf": __version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
            "sha256": {name: _hash(folder / name) for name in (WEIGHTS_FILE, CONSTANTS_FILE)},
        }
        if dtype != "float32":
            values["rounding"] = rounding_error(model, weights)
        write_json(folder / MODEL_FILE, values)
        # A folder in the way cannot be replaced in one step; it goes when the new one is whole.
        old = pathlib.Path(parent, "old")
        if directory.exists():
            os.rename(directory, old)
        try:
            os.rename(folder, directory)
        except OSError:
            if old.exists():
                os.rename(old, directory)
            raise


def load_model(
    path: str | os.PathLike | None = None,
    rendering_backend: str = "fast",
    compute_dtype: str = "float32",
) -> FaceReconstructor:
    """Reads a model.

    Args:
      path: folder of a saved model, or of a training run, whose best model is taken,
        or the last where there was no validation; the model that ships, if not given.
      rendering_backend: see `ModelConfig`; whichever the model was trained with.
      compute_dtype: likewise.

    Raises:
      FileNotFoundError: neither is there.
      ValueError: the model is damaged, of another format, or not for the template that is here.
    """
    directory = find_model(path)
    values, config = _read_values(directory)
    config = dataclasses.replace(
        config, rendering_backend=rendering_backend, compute_dtype=compute_dtype
    )
    constants = _read_arrays(directory, CONSTANTS_FILE, values)
    model = build_model(config, constants)
    if model.template.content_hash() != values["template"]["hash"]:
        raise ValueError(
            f"{directory}: was trained on another template than the {config.template!r} "
            f"({config.template_resolution}, {config.template_mean}) that is here"
        )
    load_weights(model, directory)
    model.training_mean = constants.get(_MEAN)
    model.prior = AnswerPrior.from_arrays(constants)
    return model


def start_from(path: str | os.PathLike, config: ModelConfig) -> FaceReconstructor:
    """A model of `config` with the weights of a saved one.

    Where the config's encoder builds on that of another system (`Encoder.inner`), that is the one
    to give: its part gets the weights.

    Raises:
      ValueError: it is of another config, or of neither system; and as `load_model`.
    """
    directory = find_model(path)
    values, theirs = _read_values(directory)
    inner = SYSTEMS[config.system].encoder.inner if config.system in SYSTEMS else None
    if inner is None or theirs.system != inner[0]:
        check_same_model(path, config)
        return load_model(path, config.rendering_backend, config.compute_dtype)
    check_same_model(path, dataclasses.replace(config, system=theirs.system))
    model = build_model(config, _read_arrays(directory, CONSTANTS_FILE, values))
    weights = {name: variable.numpy() for name, variable in weights_by_name(model).items()}
    weights |= {
        name.replace("encoder/", f"encoder/{inner[1]}/", 1): array
        for name, array in _read_arrays(directory, WEIGHTS_FILE, values).items()
    }
    assign_weights(model, weights, os.fspath(directory))
    return model


def load_weights(model: FaceReconstructor, path: str | os.PathLike) -> None:
    """Gives a model the weights of a saved one that was built from it; errors as `load_model`."""
    directory = find_model(path)
    values, _ = _read_values(directory)
    assign_weights(model, _read_arrays(directory, WEIGHTS_FILE, values), os.fspath(directory))


def assign_weights(
    model: FaceReconstructor, weights: Mapping[str, np.ndarray], source: str
) -> None:
    """Gives a model's weights the values of those with their names, all of them.

    Raises:
      ValueError: one is missing, left over or of another shape; the message starts with `source`.
    """
    variables = weights_by_name(model)
    differing = [
        f"{name} {list(variable.shape)} (stored: {_shape_of(weights, name)})"
        for name, variable in variables.items()
        if _shape_of(weights, name) != list(variable.shape)
    ]
    differing += [f"{name} (the model has none)" for name in weights.keys() - variables.keys()]
    if differing:
        raise ValueError(f"{source}: does not fit the model: {', '.join(differing)}")
    for name, variable in variables.items():
        variable.assign(np.asarray(weights[name], variable.dtype.as_numpy_dtype))


def find_model(path: str | os.PathLike | None = None) -> pathlib.Path:
    """The folder of the saved model that `path` means; see `load_model`.

    Raises:
      FileNotFoundError: there is none.
      ValueError: a training run of versions before this format.
    """
    path = pathlib.Path(path or SHIPPED)
    for directory in (path, path / BEST, path / LAST):
        if (directory / WEIGHTS_FILE).is_file() and (directory / MODEL_FILE).is_file():
            return directory
    if (path / MODEL_FILE).is_file():
        raise ValueError(
            f"{path}: a training run of an earlier version; convert it: "
            f"python -m fml_tf.models.save {path} MODEL"
        )
    raise FileNotFoundError(
        f"{path}: holds no model; give a folder that save_model wrote, or the --output_dir of "
        "train.py once it has saved a model"
    )


def model_hash(path: str | os.PathLike | None = None) -> str:
    """SHA-256 that identifies a saved model; arguments and errors as `load_model`."""
    return _hash(find_model(path) / MODEL_FILE)


def read_description(path: str | os.PathLike) -> Description:
    """What a saved model says of itself; arguments and errors as `load_model`."""
    values, _ = _read_values(find_model(path))
    fields = [field.name for field in dataclasses.fields(Description)]
    return Description(**{name: values[name] for name in fields if name in values})


def read_constants(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """`FaceModel.constants` of a saved model; arguments and errors as `load_model`."""
    directory = find_model(path)
    values, _ = _read_values(directory)
    return _read_arrays(directory, CONSTANTS_FILE, values)


def check_same_model(path: str | os.PathLike, config: ModelConfig) -> None:
    """Checks that a saved model is of a config, initial values apart; errors as `load_model`.

    Raises:
      ValueError: it is another.
    """
    _, theirs = _read_values(find_model(path))
    differing = config.differences(theirs)
    if differing:
        raise ValueError(f"{path}: was trained with another model: {', '.join(differing)}")


def rounding_error(model: FaceReconstructor, weights: Mapping[str, np.ndarray]) -> dict:
    """What a model's answers change when its weights are replaced by rounded ones.

    Args:
      model: the model.
      weights: by name.

    Returns:
      Mean and largest distance of vertices in camera space, mm, and of colours, of 255, over a
      person of two frames of noise.
    """
    size = model.config.crop_size
    frames = tf.random.stateless_uniform((1, 2, size, size, 3), (0, 0))
    mask = tf.ones((1, 2), tf.bool)
    exact = {name: variable.numpy() for name, variable in weights_by_name(model).items()}
    before = model(frames, mask)
    assign_weights(model, weights, "rounded")
    after = model(frames, mask)
    assign_weights(model, exact, "exact")
    distance = tf.norm(after.vertices - before.vertices, axis=1)
    colour = 255.0 * tf.abs(after.colours - before.colours)
    return {
        "vertex_error_mm_mean": float(tf.reduce_mean(distance)),
        "vertex_error_mm_max": float(tf.reduce_max(distance)),
        "colour_error_rgb_mean": float(tf.reduce_mean(colour)),
        "colour_error_rgb_max": float(tf.reduce_max(colour)),
    }


def _shape_of(weights: Mapping[str, np.ndarray], name: str) -> list[int] | None:
    return list(weights[name].shape) if name in weights else None


def _write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def _read_values(directory: pathlib.Path) -> tuple[dict, ModelConfig]:
    path = directory / MODEL_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version, config = values["format"], values["config"]
        values["template"]["hash"], values["sha256"]  # or a KeyError says what is missing
        if version != FORMAT:
            raise ValueError(f"format {version}, this version reads {FORMAT}")
        return values, ModelConfig(**config)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a model of this version: {error}") from None


def _read_arrays(directory: pathlib.Path, name: str, values: Mapping) -> dict[str, np.ndarray]:
    path = directory / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the model is incomplete")
    if _hash(path) != values["sha256"].get(name):
        raise ValueError(f"{path}: damaged, or does not belong to the model.json beside it")
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def _hash(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
