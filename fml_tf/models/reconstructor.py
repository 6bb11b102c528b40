"""The whole of a system: encoder, face model, camera and image formation (paper, figure 2)."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.geometry.crop import crop_box
from fml_tf.geometry.normals import build_one_ring
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.face_models.base import FaceDecoder, FaceModel
from fml_tf.models.parameters import Parameter, ParameterLayout
from fml_tf.models.prior import AnswerPrior
from fml_tf.rendering.backend import get_backend
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.image_formation import form_faces, merge_frames
from fml_tf.structures import NUM_SH_BANDS, DecodedFaces, FaceParameters

EditIdentity = Callable[[dict[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""Parameters of the identity by name → others in their place."""


def hold_at_mean(identity: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """An `EditIdentity`: the mean face for everybody."""
    return {name: tf.zeros_like(values) for name, values in identity.items()}


def crop_camera(config: ModelConfig) -> PerspectiveCamera:
    """The camera that a crop is taken as the picture of."""
    size = config.crop_size
    return PerspectiveCamera(focal_length_px=config.focal_length * size, width=size, height=size)


def frame_layout(config: ModelConfig, face_model: FaceModel) -> ParameterLayout:
    """Pose, expression and light: what is regressed for each frame, whatever the system."""
    landmarks = face_model.mean_shape[face_model.template.landmark_vertices]
    sigma = face_model.expression_basis.sigma
    start = initial_translation(landmarks, crop_camera(config), config.crop_margin)
    unit = config.length_unit_mm * np.array([1.0, 1.0, config.depth_rate], np.float32)
    return ParameterLayout(
        [
            Parameter("rotation", (3,)),
            Parameter("translation", (3,), scale=unit, offset=start),
            Parameter("expression", (len(sigma),), scale=sigma),
            Parameter(
                "illumination",
                (NUM_SH_BANDS, 3),
                offset=ambient_illumination(config.initial_shading),
                copies=3 if config.light == "white" else 1,
            ),
        ]
    )


class FaceReconstructor(keras.Model):
    """Frames → parameters (`encode`) → shaded faces (`decode`).

    Args:
      config: what it is built from.
      face_model: built or not.
      encoder: made for the sizes of the face model's layout and of `frame_layout`.

    Attributes:
      template: the face template.
      camera: the crop's camera.
      frame_layout: parameters of a frame.
      backend: what projects, lights and draws.
      one_ring: rings of the template's mesh, for normals.
      initial_translation: [3] float32 mm, where the mean face stands before any training.
      training_mean: [V', 3] float32 mm, the mean neutral shape of the people that it learned from,
        at the open template's coarsest vertices: the best answer that is the same for everybody.
        None where it is not known.
      prior: how far its answers lie from the truth; None where that was not measured.
    """

    def __init__(self, config: ModelConfig, face_model: FaceModel, encoder: Encoder):
        super().__init__(name=config.system)
        self.config = config
        self.face_model = face_model
        self.encoder = encoder
        self.template = face_model.template
        self.camera = crop_camera(config)
        self.backend = get_backend(config.rendering_backend)
        self.frame_layout = frame_layout(config, face_model)
        self.initial_translation = self.frame_layout.parameters[1].offset
        self.training_mean: np.ndarray | None = None
        self.prior: AnswerPrior | None = None
        self.one_ring = build_one_ring(self.template.triangles, self.template.num_vertices)
        self.build()

    def build(self, input_shape=None):
        """Creates all weights; the shapes follow from the config."""
        del input_shape
        if self.built:
            return
        size = self.config.crop_size
        self.encoder.build((None, size, size, 3))
        self.face_model.build()
        self.built = True

    @property
    def identity_layout(self) -> ParameterLayout:
        """Parameters of a person."""
        return self.face_model.identity_layout

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of all parameters, those of the identity first."""
        return self.identity_layout.names + self.frame_layout.names

    @property
    def expression_basis(self):
        """B with σ."""
        return self.face_model.expression_basis

    def encode(
        self,
        frames,
        frame_mask,
        edit_identity: EditIdentity | None = None,
        training: bool = False,
    ) -> FaceParameters:
        """Regresses all parameters of a batch (paper, section 3.4).

        Args:
          frames: [B, M, H, W, 3] float32, sRGB in [0, 1].
          frame_mask: [B, M] bool; frames that are False do not touch the identity. Each person
            needs one that is True.
          edit_identity: what is to be made of the regressed identities, such as `hold_at_mean`;
            pose, expression and light are regressed under the edited ones.
          training: as in Keras.

        Returns:
          The parameters. Those of a masked frame are regressed too, under the identity of the
          person's other frames.
        """
        batch_shape = tf.shape(frames)[:2]
        size = self.config.crop_size
        features = self.encoder.features(tf.reshape(frames, (-1, size, size, 3)), training)
        vectors = self.encoder.identity(features, frame_mask, training)
        identity = self.identity_layout.split(vectors)
        if edit_identity is not None:
            identity = edit_identity(identity)
            vectors = self.identity_layout.join(identity)
        outputs = self.encoder.frame_parameters(features, vectors, training)
        outputs = tf.reshape(outputs, (batch_shape[0], batch_shape[1], outputs.shape[-1]))
        return FaceParameters(identity=identity, frame=self.frame_layout.split(outputs))

    def decode(
        self, parameters: FaceParameters, face_model: FaceDecoder | None = None
    ) -> DecodedFaces:
        """Face model and image formation, equations (1) to (7).

        Args:
          parameters: of B people with M frames each.
          face_model: forms the faces instead of the model's own, such as its `folded` one.
        """
        face_model = face_model or self.face_model
        identity = face_model.identity(parameters.identity)
        displacements = face_model.expression_displacements(merge_frames(parameters.expression))
        vertices, normals, positions, colours, visible = form_faces(
            identity.neutral_vertices,
            identity.albedo,
            displacements,
            parameters,
            self.one_ring,
            self.camera,
            self.backend,
        )
        return DecodedFaces(
            identity=identity,
            displacements=displacements,
            vertices=vertices,
            normals=normals,
            positions=positions,
            colours=colours,
            visible=visible,
        )

    def call(self, frames, frame_mask, training: bool = False):
        """Encodes and decodes."""
        return self.decode(self.encode(frames, frame_mask, training=training))

    def weight_groups(self) -> dict[str, list[tf.Variable]]:
        """All trainable weights by the name of the group that gets one learning rate.

        Raises:
          ValueError: a weight in no group or in several.
        """
        groups = {}
        for part in (self.encoder, self.face_model):
            for name, variables in part.weight_groups().items():
                groups[name] = groups.get(name, []) + variables
        grouped = [variable.ref() for variables in groups.values() for variable in variables]
        for weight in self.trainable_weights:
            if (count := grouped.count(weight.value.ref())) != 1:
                raise ValueError(f"{weight.path} is in {count} groups of weights, must be in one")
        return groups

    def count_weights(self) -> dict[str, int]:
        """Number of weights of each part, such as "encoder/identity_network", in their order."""
        parts = self.encoder.parts()
        counts = {f"encoder/{name}": part.count_params() for name, part in parts.items()}
        for weight in self.face_model.weights:
            counts[f"face_model/{weight.name}"] = int(np.prod(weight.shape))
        return counts


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
