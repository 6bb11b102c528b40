"""The whole model: networks, learned face model and image formation (paper, figure 2)."""

import dataclasses
import json
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.files.atomic import write_json
from fml_tf.geometry.crop import crop_box
from fml_tf.geometry.normals import build_one_ring
from fml_tf.models.face_model import FaceModel
from fml_tf.models.networks import FrameEncoder, IdentityNetwork, ParameterNetwork, feature_size
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.image_formation import form_faces, merge_frames
from fml_tf.structures import NUM_SH_BANDS, DecodedFaces, FaceParameters
from fml_tf.template.deformation_graph import load_or_build_graph
from fml_tf.template.expression_basis import pca_basis, raw_basis
from fml_tf.template.loading import load_template

MODEL_FILE = "model.json"
CHECKPOINT_FOLDER = "checkpoints"


def initial_translation(
    landmark_points: np.ndarray, camera: PerspectiveCamera, crop_margin: float
) -> np.ndarray:
    """Where the mean face must stand for its crop to be the one that preprocessing would cut.

    Args:
      landmark_points: [66, 3] mm, landmarks on the mean face, model space.
      camera: the crop's camera.
      crop_margin: see `crop_box`.

    Returns:
      [3] float32 mm, camera space.
    """
    extent = np.ptp(landmark_points, axis=0).max()
    translation = np.array([0.0, 0.0, -2.0 * camera.focal_length_px * extent / camera.width])
    finer = 16.0  # crop boxes are whole pixels
    for _ in range(10):  # a fixed point: perspective makes one step inexact
        posed = (landmark_points + translation)[..., None]
        projected = project(tf.constant(posed, tf.float32), camera)[..., 0].numpy()
        box = crop_box(projected * finer, crop_margin)
        side = box.source_width / finer
        offset = np.array([box.left, box.top]) / finer + (side - camera.width) / 2.0
        millimetres_a_pixel = -translation[2] / camera.focal_length_px
        translation += np.array([-offset[0], offset[1], 0.0]) * millimetres_a_pixel
        translation[2] *= side / camera.width
    return translation.astype(np.float32)


class FmlModel(keras.Model):
    """Frames → parameters (`encode`) → shaded faces (`decode`).

    Attributes:
      config: the `ModelConfig` that it was built from.
      template: the face template.
      expression_basis: B with σ.
      graph: the deformation graph.
      camera: the crop's camera.
      one_ring: rings of the template's mesh, for normals.
      initial_translation: [3] float32 mm, where the mean face stands before any training.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="fml")
        self.config = config
        self.template = load_template(
            config.template, config.template_resolution, config.template_mean
        )
        self.graph = load_or_build_graph(self.template, config.num_graph_nodes)
        if config.expression_basis == "pca":
            self.expression_basis = pca_basis(self.template, config.expression_variance)
        else:
            self.expression_basis = raw_basis(self.template)
        self.camera = PerspectiveCamera(
            focal_length_px=config.focal_length * config.crop_size,
            width=config.crop_size,
            height=config.crop_size,
        )
        num_expressions = len(self.expression_basis.sigma)
        self.encoder = FrameEncoder(config.network_width, name="encoder")
        self.identity_network = IdentityNetwork(
            config.shape_size, config.albedo_size, config.network_width, name="identity_network"
        )
        self.parameter_network = ParameterNetwork(
            num_expressions, config.network_width, name="parameter_network"
        )
        self.face_model = FaceModel(
            self.template,
            self.graph,
            self.expression_basis,
            config.shape_size,
            config.albedo_size,
            config.length_unit_mm,
            config.initial_basis_stddev,
            (
                config.initial_albedo_red,
                config.initial_albedo_green,
                config.initial_albedo_blue,
            ),
            name="face_model",
        )
        self.one_ring = build_one_ring(self.template.triangles, self.template.num_vertices)
        landmark_points = self.template.mean_shape[self.template.landmark_vertices]
        self.initial_translation = initial_translation(
            landmark_points, self.camera, config.crop_margin
        )
        self._ambient = ambient_illumination()
        self.build()

    def build(self, input_shape=None):
        """Creates all weights; the shapes follow from the config."""
        del input_shape
        if self.built:
            return
        size = self.config.crop_size
        self.encoder.build((None, size, size, 3))
        low_size, low_channels = feature_size(size), self.encoder.low[-1].filters
        medium_size = -(-low_size // 4)
        self.identity_network.build(
            (None, medium_size, medium_size, self.encoder.medium[-1].filters)
        )
        identity_size = self.config.shape_size + self.config.albedo_size
        self.parameter_network.build(
            ((None, identity_size), (None, low_size, low_size, low_channels))
        )
        self.face_model.build()
        self.built = True

    def encode(
        self,
        frames,
        frame_mask,
        identity_at_mean: bool = False,
        restrict_identity: Callable | None = None,
    ) -> FaceParameters:
        """Regresses all parameters of a batch (paper, section 3.4).

        Args:
          frames: [B, M, H, W, 3] float32, sRGB in [0, 1].
          frame_mask: [B, M] bool; frames that are False do not touch the identity. Each person
            needs one that is True.
          identity_at_mean: hold shape and albedo parameters at zero (stage 1 of the training).
          restrict_identity: from the regressed shape and albedo parameters to the nearest ones of a
            smaller model; pose, expression and light are regressed under those.

        Returns:
          The parameters. Those of a masked frame are regressed too, under the identity of the
          person's other frames.
        """
        batch_size, num_frames = tf.shape(frames)[0], tf.shape(frames)[1]
        size = self.config.crop_size
        low, medium = self.encoder(tf.reshape(frames, (-1, size, size, 3)))
        medium = tf.reshape(medium, (batch_size, num_frames, *medium.shape[1:]))
        mask = tf.cast(frame_mask, medium.dtype)[:, :, None, None, None]
        pooled = tf.reduce_sum(mask * medium, axis=1) / tf.reduce_sum(mask, axis=1)
        shape, albedo = self.identity_network(pooled)
        if identity_at_mean:
            shape, albedo = tf.zeros_like(shape), tf.zeros_like(albedo)
        elif restrict_identity is not None:
            shape, albedo = restrict_identity(shape, albedo)
        outputs = self.parameter_network((tf.concat([shape, albedo], axis=-1), low))
        outputs = tf.reshape(outputs, (batch_size, num_frames, outputs.shape[-1]))
        rotation, translation, expression, illumination = tf.split(
            outputs, (3, 3, outputs.shape[-1] - 33, 27), axis=-1
        )
        illumination = tf.reshape(illumination, (batch_size, num_frames, NUM_SH_BANDS, 3))
        return FaceParameters(
            shape=shape,
            albedo=albedo,
            rotation=rotation,
            translation=self.initial_translation + translation * self.config.length_unit_mm,
            expression=expression * self.expression_basis.sigma,
            illumination=illumination + self._ambient,
        )

    def decode(self, parameters: FaceParameters) -> DecodedFaces:
        """Face model and image formation, equations (1) to (7)."""
        node_displacements = self.face_model.node_displacements(parameters.shape)
        identity_vertices = self.face_model.neutral_shape(node_displacements)
        albedo = self.face_model.albedo(parameters.albedo)
        displacements = self.face_model.expression_displacements(
            merge_frames(parameters.expression)
        )
        vertices, normals, positions, colours, visible = form_faces(
            identity_vertices, albedo, displacements, parameters, self.one_ring, self.camera
        )
        return DecodedFaces(
            identity_vertices=identity_vertices,
            albedo=albedo,
            vertices=vertices,
            normals=normals,
            positions=positions,
            colours=colours,
            visible=visible,
            node_displacements=node_displacements,
        )

    def call(self, frames, frame_mask):
        """Encodes and decodes."""
        return self.decode(self.encode(frames, frame_mask))

    def count_weights(self) -> dict[str, int]:
        """Number of weights of each part, in the order of the data flow."""
        parts = {
            "encoder (Table 1)": self.encoder,
            "identity network (Table 2)": self.identity_network,
            "parameter network (Table 3)": self.parameter_network,
        }
        counts = {name: layer.count_params() for name, layer in parts.items()}
        face_model = self.face_model
        counts["shape basis Θs"] = int(np.prod(face_model.shape_basis.shape))
        counts["albedo basis Θa"] = int(np.prod(face_model.albedo_basis.shape))
        counts["mean albedo r̄"] = int(np.prod(face_model.mean_albedo.shape))
        return counts

    def weights_checkpoint(self) -> tf.train.Checkpoint:
        """All weights by name; part of training checkpoints.

        (Keras 3 hides lists of layers from `tf.train.Checkpoint(model)`, which then saves a part.)
        """
        return tf.train.Checkpoint(**{weight.path: weight.value for weight in self.weights})

    def save_config(self, directory: str) -> None:
        """Writes what `load_model` needs beside the weights."""
        values = dataclasses.asdict(self.config)
        values["template_hash"] = self.template.content_hash()
        write_json(os.path.join(directory, MODEL_FILE), values)


def restore_weights(model: FmlModel, run_dir: str) -> None:
    """Restores a model's weights, all of them, from the newest checkpoint of a training run.

    Raises:
      FileNotFoundError: the folder holds no model config or no checkpoint.
      ValueError: the run's model config or template is another, or a weight of the model is not
        in the checkpoint or has another shape there, or the checkpoint is damaged.
    """
    config, template_hash = _read_config(run_dir)
    ours, theirs = dataclasses.asdict(model.config), dataclasses.asdict(config)
    differing = [f"{name}={value!r}" for name, value in theirs.items() if ours[name] != value]
    if differing:
        raise ValueError(f"{run_dir}: was trained with another model: {', '.join(differing)}")
    if model.template.content_hash() != template_hash:
        raise ValueError(
            f"{run_dir}: learned on another template than {model.config.template!r} "
            f"({model.config.template_resolution}, {model.config.template_mean}) is here"
        )
    checkpoint = tf.train.latest_checkpoint(os.path.join(run_dir, CHECKPOINT_FOLDER))
    if checkpoint is None:
        raise FileNotFoundError(f"{run_dir}: holds no checkpoint yet")
    stored = tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map()
    differing = []
    for weight in model.weights:
        key = f"model/{weight.path.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
        if stored.get(key) != list(weight.shape):
            differing.append(f"{weight.path} {list(weight.shape)} (stored: {stored.get(key)})")
    if differing:
        raise ValueError(f"{checkpoint}: does not fit the model: {', '.join(differing)}")
    try:
        restored = tf.train.Checkpoint(model=model.weights_checkpoint()).restore(checkpoint)
        restored.assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, IndexError) as error:  # IndexError: a file that was cut short
        raise ValueError(f"{checkpoint}: damaged: {error}") from None


def _read_config(run_dir: str) -> tuple[ModelConfig, str]:
    """The config and the template's hash that `save_config` wrote."""
    path = os.path.join(run_dir, MODEL_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{run_dir}: holds no trained model; give the --output_dir of train.py"
        )
    with open(path, encoding="utf-8") as file:
        try:
            values = json.load(file)
            template_hash = values.pop("template_hash")
            return ModelConfig(**values), template_hash
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a model config of this version: {error}") from None


def load_model(checkpoint_dir: str) -> FmlModel:
    """Builds the model of a training run and restores its newest weights.

    Args:
      checkpoint_dir: the `--output_dir` of `train.py`.

    Raises:
      FileNotFoundError: the folder holds no model config or no checkpoint.
      ValueError: the config is damaged, or the template is not the one that the model learned on.
    """
    config, _ = _read_config(checkpoint_dir)
    model = FmlModel(config)
    restore_weights(model, checkpoint_dir)
    return model
