"""Figures on people that training has not seen, for data sets that hold the true shape."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from fml_tf.data.batches import evaluation_examples
from fml_tf.geometry.alignment import procrustes
from fml_tf.models.fml_model import FmlModel
from fml_tf.structures import MultiFrameBatch
from fml_tf.training.train_step import Objective


def aligned_rmse(shape: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared vertex distance after similarity alignment.

    Args:
      shape: [P, 3] mm.
      truth: [P, 3] mm, in correspondence.

    Returns:
      mm.
    """
    aligned = procrustes(shape, truth).apply(shape)
    return float(np.sqrt(np.mean(np.sum((aligned - truth) ** 2, axis=-1))))


def _single_frames(batch: MultiFrameBatch) -> MultiFrameBatch:
    """[1, M] → [M, 1]: each frame as a person of its own."""
    return MultiFrameBatch(
        frames=tf.transpose(batch.frames, (1, 0, 2, 3, 4)),
        frame_mask=tf.transpose(batch.frame_mask),
        landmarks=tf.transpose(batch.landmarks, (1, 0, 2, 3)),
        landmark_confidence=tf.transpose(batch.landmark_confidence, (1, 0, 2)),
    )


def validate(
    model: FmlModel,
    objective: Objective,
    builder: tfds.core.DatasetBuilder,
    split: str,
    num_frames: int,
) -> dict:
    """Runs over a split and averages.

    Returns:
      `landmark_error_px` (to the detected landmarks, in pixels of the crop), `photometric_error`
      (RGB in [0, 255]), both with M = `num_frames`; where the data set has the truth, also
      `geometric_error_mm` with `m1`, `m<num_frames>` and `mean_face`: per-vertex RMSE of the
      neutral shape over the template's face region, after similarity alignment.
    """

    @tf.function(reduce_retracing=True)
    def infer(batch):
        parameters = model.encode(batch.frames, batch.frame_mask)
        faces = model.decode(parameters)
        _, errors = objective.evaluate(batch, parameters, faces)
        return faces.identity_vertices, errors

    landmark_errors, photometric_errors = [], []
    multi_name = f"m{num_frames}"
    geometric = {"m1": [], multi_name: [], "mean_face": []}
    total = builder.info.splits[split].num_examples
    examples = evaluation_examples(builder, split, num_frames)
    for batch, example in tqdm(examples, total=total, desc=f"validate {split}", leave=False):
        identity, errors = infer(batch)
        mask = batch.frame_mask.numpy()
        landmark_errors.append(errors.landmark_px.numpy()[mask])
        photometric_errors.append(errors.photometric.numpy()[mask])
        # The truth is in correspondence with our own template only.
        if "neutral_shape" not in example or model.config.template != "makehuman":
            continue
        truth = example["neutral_shape"].numpy()
        # The truth has the vertices of the coarsest level, which come first at every level.
        face = np.flatnonzero(model.template.regions["face"][: len(truth)])
        singles, _ = infer(_single_frames(batch))
        geometric[multi_name].append(aligned_rmse(identity.numpy()[face, :, 0], truth[face]))
        geometric["m1"].append(
            np.mean(
                [
                    aligned_rmse(single, truth[face])
                    for single in singles.numpy()[face].transpose(2, 0, 1)[mask[0]]
                ]
            )
        )
        geometric["mean_face"].append(aligned_rmse(model.template.mean_shape[face], truth[face]))
    figures = {
        "landmark_error_px": float(np.mean(np.concatenate(landmark_errors))),
        "photometric_error": float(np.mean(np.concatenate(photometric_errors))),
        "num_examples": total,
    }
    if geometric["m1"]:
        figures["geometric_error_mm"] = {
            name: float(np.mean(values)) for name, values in geometric.items()
        }
    return figures
