"""The training objective: a weighted sum of terms by name (paper, equations (8) and (9))."""

import math
import typing
from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

from fml_tf.config import TrainConfig
from fml_tf.losses.base import Loss
from fml_tf.losses.coefficients import AlbedoPriorLoss, ShapePriorLoss
from fml_tf.losses.correctives import CorrectiveSizeLoss, CorrectiveSmoothnessLoss
from fml_tf.losses.expression import ExpressionLoss
from fml_tf.losses.landmark import (
    BaseLandmarkLoss,
    InnerLandmarkLoss,
    LandmarkLoss,
    WeightedLandmarkLoss,
)
from fml_tf.losses.landmark_fit import LandmarkFitLoss
from fml_tf.losses.perceptual import PerceptualLoss
from fml_tf.losses.photometric import (
    BasePhotometricLoss,
    PhotometricLoss,
    RobustPhotometricLoss,
    RobustVisiblePhotometricLoss,
    VisiblePhotometricLoss,
)
from fml_tf.losses.pixels import PixelPhotometricLoss
from fml_tf.losses.reflectance import (
    FlatAlbedoLoss,
    ReflectanceConstancyLoss,
    ReflectanceSparsityLoss,
)
from fml_tf.losses.smoothness import SmoothnessLoss
from fml_tf.losses.sparsity import SparsityLoss
from fml_tf.losses.truth import (
    DensePositionLoss,
    NeutralShapeLoss,
    RotationLoss,
    TrueAlbedoLoss,
    TrueExpressionLoss,
)
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import DecodedFaces, FaceParameters, MultiFrameBatch

LOSSES = {
    "photometric": PhotometricLoss,
    "photometric_visible": VisiblePhotometricLoss,
    "robust_photometric": RobustPhotometricLoss,
    "robust_visible_photometric": RobustVisiblePhotometricLoss,
    "base_photometric": BasePhotometricLoss,
    "pixel_photometric": PixelPhotometricLoss,
    "perceptual": PerceptualLoss,
    "landmark": LandmarkLoss,
    "base_landmark": BaseLandmarkLoss,
    "inner_landmark": InnerLandmarkLoss,
    "weighted_landmark": WeightedLandmarkLoss,
    "landmark_fit": LandmarkFitLoss,
    "smoothness": SmoothnessLoss,
    "sparsity": SparsityLoss,
    "expression": ExpressionLoss,
    "shape_prior": ShapePriorLoss,
    "albedo_prior": AlbedoPriorLoss,
    "corrective_smoothness": CorrectiveSmoothnessLoss,
    "corrective_size": CorrectiveSizeLoss,
    "reflectance_sparsity": ReflectanceSparsityLoss,
    "reflectance_constancy": ReflectanceConstancyLoss,
    "flat_albedo": FlatAlbedoLoss,
    "true_position": DensePositionLoss,
    "true_shape": NeutralShapeLoss,
    "true_expression": TrueExpressionLoss,
    "true_albedo": TrueAlbedoLoss,
    "true_rotation": RotationLoss,
}
"""Classes of terms by name; the weight of a term is the config's field `<name>_weight`."""

PAPER_WEIGHTS = {
    "photometric": 1.6,
    "landmark": 4.7,
    "smoothness": 1e-3,
    "sparsity": 1e-7,
    "expression": 1e-8,
}
"""As printed in the paper's supplemental; the units they depend on are not. Ours: see each term."""


def loss_weights(config: TrainConfig) -> dict[str, float]:
    """The weight of each term of `LOSSES`."""
    return {name: getattr(config, f"{name}_weight") for name in LOSSES}


class Evaluation(tf.experimental.ExtensionType):
    """What an objective says of a batch.

    Attributes:
      total: scalar, the sum of the terms.
      terms: scalars by name, weighted.
      measures: [B, M] by name, see `LossValue`.
    """

    total: tf.Tensor
    terms: typing.Mapping[str, tf.Tensor]
    measures: typing.Mapping[str, tf.Tensor]


class Objective:
    """What a batch costs.

    Args:
      losses: terms with their weights, by name.
      decode_base: the faces of the base level from parameters, for terms `of_base_level`.

    Raises:
      ValueError: a weight that is negative or not finite, or no term.
    """

    def __init__(
        self,
        losses: Mapping[str, tuple[float, Loss]],
        decode_base: Callable[[FaceParameters], DecodedFaces] | None = None,
    ):
        for name, (weight, _) in losses.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"loss weight {name} must be finite and >= 0, got {weight}")
        if not losses:
            raise ValueError("the objective has no term: all weights are zero")
        self._losses = dict(losses)
        self._decode_base = decode_base

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms, in order."""
        return tuple(self._losses)

    @property
    def needs_truth(self) -> bool:
        """Whether a term reads `batch.truth`."""
        return any(loss.needs_truth for _, loss in self._losses.values())

    def evaluate(
        self,
        batch: MultiFrameBatch,
        parameters: FaceParameters,
        faces: DecodedFaces,
        without: Collection[str] = (),
    ) -> Evaluation:
        """All terms and measures of a decoded batch.

        Args:
          batch, parameters, faces: the batch and what a model makes of it.
          without: names of terms to leave at 0.
        """
        terms, measures = {}, {}
        base = None
        for name, (weight, loss) in self._losses.items():
            if name in without:
                terms[name] = tf.constant(0.0)
                continue
            if loss.of_base_level and base is None:
                base = self._decode_base(parameters)
            value = loss(batch, parameters, base if loss.of_base_level else faces)
            terms[name] = weight / loss.normaliser * value.value
            measures |= value.measures
        return Evaluation(total=tf.add_n(list(terms.values())), terms=terms, measures=measures)


def build_objective(model: FaceReconstructor, weights: Mapping[str, float]) -> Objective:
    """Builds the terms whose weight is not zero, in the order of `LOSSES`.

    Raises:
      ValueError: an unknown name, a weight as in `Objective`, or a term that does not go with the
        model.
    """
    unknown = weights.keys() - LOSSES.keys()
    if unknown:
        raise ValueError(f"no such loss: {', '.join(unknown)}; there are {', '.join(LOSSES)}")
    losses = {
        name: (weights[name], loss_class(model))
        for name, loss_class in LOSSES.items()
        if weights.get(name)
    }
    correctives = model.face_model.corrective_names
    for name, (_, loss) in losses.items():
        if loss.of_base_level and not correctives:
            raise ValueError(f"--{name}_weight: the system {model.name} has no base level")

    def decode_base(parameters):
        identity = {
            name: values for name, values in parameters.identity.items() if name not in correctives
        }
        return model.decode(FaceParameters(identity=identity, frame=parameters.frame))

    return Objective(losses, decode_base)
