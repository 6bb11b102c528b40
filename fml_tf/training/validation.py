"""Figures on people that training has not seen."""

import itertools

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from fml_tf.data.batches import evaluation_examples
from fml_tf.data.ground_truth import albedo_difference
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.losses.objective import Objective, build_objective
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import GroundTruth, Identity, MultiFrameBatch


class Validator:
    """Measures a model on a split; where the data set has the truth, its shapes too.

    Shapes are compared with `model.training_mean`.

    Args:
      model: the model.
      objective: of the training.
      builder: prepared data set.
      split: whose people.
      num_frames: M.

    Attributes:
      errors: of each example of the last run, in their order: the neutral shape's from M frames, or
        where the truth is not known, the landmarks'.
    """

    def __init__(
        self,
        model: FaceReconstructor,
        objective: Objective,
        builder: tfds.core.DatasetBuilder,
        split: str,
        num_frames: int,
    ):
        self._model = model
        self._builder, self._split, self._num_frames = builder, split, num_frames
        # Measured whatever the objective's weights are.
        measures = build_objective(model, {"landmark": 1.0, "photometric": 1.0})
        self._training_mean = model.training_mean
        self.errors: list[float] = []

        @tf.function(reduce_retracing=True)
        def infer(batch):
            parameters = model.encode(batch.frames, batch.frame_mask)
            faces = model.decode(parameters)
            total = objective.evaluate(batch, parameters, faces).total
            errors = dict(measures.evaluate(batch, parameters, faces).measures)
            return faces.identity, faces.displacements, errors, total

        @tf.function(reduce_retracing=True)
        def infer_identity(batch):
            parameters = model.encode(batch.frames, batch.frame_mask)
            return model.face_model.identity(parameters.identity).neutral_vertices

        self._infer, self._infer_identity = infer, infer_identity

    def run(self, max_examples: int | None = None, progress: bool = False) -> dict[str, float]:
        """Runs over the split, or its first examples, and averages.

        Returns:
          `total`, the objective; `landmark_px`, to the detected landmarks, and `photometric_rgb`,
          in [0, 255], all with M = `num_frames`. Where the truth is known, per-vertex RMSE over the
          face after similarity alignment, mm: `shape_m1`, `shape_m<M>`, `shape_training_mean` and
          `shape_template_mean` of the neutral shape (from one frame, from M, and of two constants),
          `expressive_m<M>` of the shape with each frame's expression; `shape_r2_m1`,
          `shape_r2_m<M>`, the share of the squared error of `shape_training_mean` that is gone;
          `expression_r2_m<M>`, that of the expressions' displacements about their mean over the
          split; and `albedo_m<M>`, the mean difference of the albedo over the face after the best
          gain of each channel, in [0, 255].
        """
        count = self._builder.info.splits[self._split].num_examples
        count = min(count, max_examples or count)
        examples = evaluation_examples(self._builder, self._split, self._num_frames)
        batches = tqdm(
            itertools.islice(examples, count),
            f"validate {self._split}",
            count,
            leave=False,
            disable=not progress,
        )
        rows, expressions = zip(*(self._measure(batch) for batch, _ in batches))
        figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        ranked = "landmark_px" if self._training_mean is None else f"shape_m{self._num_frames}"
        self.errors = [float(row[ranked]) for row in rows]
        if self._training_mean is not None:
            constant = np.square([row["shape_training_mean"] for row in rows]).mean()
            for name in dict.fromkeys(("m1", f"m{self._num_frames}")):
                squared = figures.pop(f"squared_{name}")
                figures[f"shape_r2_{name}"] = float(1.0 - squared / constant)
            expressions = np.concatenate(expressions)
            spread = np.square(expressions - expressions.mean(axis=0)).mean()
            squared = figures.pop("squared_expression")
            figures[f"expression_r2_m{self._num_frames}"] = float(1.0 - squared / spread)
        return {**figures, "num_examples": count}

    def _measure(self, batch: MultiFrameBatch) -> tuple[dict[str, float], np.ndarray | None]:
        """Figures of one person, and its true expressions where they are known."""
        identity, displacements, errors, total = self._infer(batch)
        mask = batch.frame_mask.numpy()
        row = {name: np.mean(values.numpy()[mask]) for name, values in errors.items()}
        row["total"] = total.numpy()
        if self._training_mean is None:
            return row, None
        singles = self._infer_identity(batch.by_frame()).numpy()[..., mask[0]]
        figures, expressions = self._measure_shapes(
            batch.truth, singles, identity, displacements.numpy()[..., mask[0]]
        )
        return row | figures, expressions

    def _measure_shapes(
        self,
        truth: GroundTruth,
        singles: np.ndarray,
        identity: Identity,
        displacements: np.ndarray,
    ) -> tuple[dict[str, float], np.ndarray]:
        template, neutral = self._model.template, identity.neutral_vertices.numpy()[..., 0]
        true_neutral = truth.neutral_shape[0].numpy()
        # The truth has the vertices of the coarsest level, which come first at every level.
        face = np.flatnonzero(template.regions["face"][: len(true_neutral)])
        many = f"m{self._num_frames}"

        def error(shape):
            return aligned_rmse(shape[face], true_neutral[face])

        of_singles = [error(single) for single in np.moveaxis(singles, -1, 0)]
        of_many = error(neutral)
        activations = truth.blendshape_activations[0].numpy()[: displacements.shape[-1]]
        expressions = np.tensordot(activations, template.blendshapes[:, face], axes=1)
        displacements = np.moveaxis(displacements[face], -1, 0)
        expressive = [
            aligned_rmse(neutral[face] + displacement, true_neutral[face] + expression)
            for displacement, expression in zip(displacements, expressions)
        ]
        albedo, true_albedo = identity.albedo.numpy()[face, :, 0], truth.albedo[0].numpy()[face]
        figures = {
            "shape_m1": np.mean(of_singles),
            f"shape_{many}": of_many,
            "shape_training_mean": error(self._training_mean),
            "shape_template_mean": error(template.mean_shape),
            f"expressive_{many}": np.mean(expressive),
            f"albedo_{many}": albedo_difference(albedo, true_albedo),
            "squared_m1": np.mean(np.square(of_singles)),
            f"squared_{many}": of_many**2,
            "squared_expression": np.square(displacements - expressions).mean(),
        }
        return figures, expressions
