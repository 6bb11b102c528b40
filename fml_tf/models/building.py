"""The only place that maps names to encoders and face models, and joins them to systems."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.encoders.fml import FmlEncoder
from fml_tf.models.encoders.image_set import ImageSetEncoder
from fml_tf.models.encoders.monocular import Deep3dEncoder, MofaEncoder, MultilevelEncoder
from fml_tf.models.face_models.base import FaceModel
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.models.face_models.linear import LinearFaceModel
from fml_tf.models.face_models.multilevel import MultilevelFaceModel
from fml_tf.models.reconstructor import FaceReconstructor, frame_layout
from fml_tf.template.loading import load_template


@dataclasses.dataclass(frozen=True)
class System:
    """An encoder with a face model.

    Attributes:
      encoder: a class with the constructor of `Encoder`.
      face_model: a class that is made of (template, config, constants).
    """

    encoder: type[Encoder]
    face_model: type[FaceModel]


SYSTEMS = {
    "fml": System(FmlEncoder, GraphFaceModel),
    "mofa": System(MofaEncoder, LinearFaceModel),
    "multilevel": System(MultilevelEncoder, MultilevelFaceModel),
    "deep3d": System(Deep3dEncoder, LinearFaceModel),
    "deep3d_sets": System(ImageSetEncoder, LinearFaceModel),
}
"""Systems by the name that `--system` takes."""


def build_model(
    config: ModelConfig, constants: Mapping[str, np.ndarray] | None = None
) -> FaceReconstructor:
    """Builds the system that a config names, with weights as before any training.

    Args:
      config: names and sizes.
      constants: of `FaceModel.constants`; derived from the template, if not given.

    Raises:
      FileNotFoundError, ValueError: no such system, or a template that cannot be loaded.
    """
    if config.system not in SYSTEMS:
        raise ValueError(f"--system={config.system}: no such system; there are {list(SYSTEMS)}")
    system = SYSTEMS[config.system]
    template = load_template(config.template, config.template_resolution, config.template_mean)
    face_model = system.face_model(template, config, constants, name="face_model")
    encoder = system.encoder(
        config,
        face_model.identity_layout.size,
        frame_layout(config, face_model).size,
        name="encoder",
    )
    return FaceReconstructor(config, face_model, encoder)
