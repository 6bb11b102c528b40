"""Training runs of version 0.1, whose weights lie in checkpoints beside a flat `model.json`."""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.files.folders import checked_tensorflow_dir
from fml_tf.models.building import build_model
from fml_tf.models.face_models.base import EXPRESSION
from fml_tf.models.face_models.graph import COMPLEMENT
from fml_tf.models.face_models.orthogonal_complement import graph_expression_basis
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.models.saving import MODEL_FILE, assign_weights, weights_by_name
from fml_tf.template.expression_basis import pca_basis

_HASH = "template_hash"


def is_old_run(path: str | os.PathLike) -> bool:
    """Whether a folder is a training run of version 0.1."""
    try:
        return _HASH in json.loads(pathlib.Path(path, MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def load_old_run(path: str | os.PathLike) -> FaceReconstructor:
    """The model of a run of version 0.1, from its newest checkpoint.

    Raises:
      FileNotFoundError: no checkpoint.
      ValueError: the template is another one here, or the checkpoint is damaged or does not fit.
    """
    path = pathlib.Path(checked_tensorflow_dir(path))
    values = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
    template_hash = values.pop(_HASH)
    try:
        config = ModelConfig(**values)
        model = build_model(config)
    except TypeError as error:
        raise ValueError(f"{path / MODEL_FILE}: not a model config: {error}") from None
    if model.template.content_hash() != template_hash:
        raise ValueError(f"{path}: was trained on another template than the one here")
    constants, basis = model.face_model.constants(), model.expression_basis
    if config.expression_basis == "pca":
        # Its components' signs were as this machine's linear algebra makes them.
        basis = pca_basis(model.template, config.expression_variance, fixed_signs=False)
        constants |= {EXPRESSION + name: array for name, array in basis.to_arrays().items()}
    # Its identities were kept apart from what expressions do to hidden vertices, too.
    skinning = model.face_model.graph.skinning_matrix().astype(np.float64)
    constants[COMPLEMENT] = graph_expression_basis(basis.basis, skinning)
    model = build_model(config, constants)
    checkpoint = tf.train.latest_checkpoint(os.fspath(path / "checkpoints"))
    if checkpoint is None:
        raise FileNotFoundError(f"{path}: holds no checkpoint")
    try:
        reader = tf.train.load_checkpoint(checkpoint)
        stored = reader.get_variable_to_shape_map()
        weights = {
            name: reader.get_tensor(key)
            for name in weights_by_name(model)
            if (key := _key(name)) in stored
        }
    except (tf.errors.OpError, IndexError) as error:  # the latter of a file cut short
        raise ValueError(f"{checkpoint}: damaged: {error}") from None
    assign_weights(model, weights, checkpoint)
    return model


def _key(name: str) -> str:
    """Of a weight in a checkpoint of version 0.1, whose three networks stood side by side."""
    name = name.removeprefix("encoder/").replace("frame_encoder/", "encoder/")
    escaped = f"fml/{name}".replace("/", ".S")
    return f"model/{escaped}/.ATTRIBUTES/VARIABLE_VALUE"
