"""Measures an `AnswerPrior` on known people."""

import itertools

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from fml_tf.data.batches import evaluation_examples
from fml_tf.geometry.alignment import procrustes
from fml_tf.models.prior import AnswerPrior
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.refinement.linear_face import LinearFace
from fml_tf.template.makehuman import load_makehuman

# Beside a millimetre of the shape: what a difference of the whole albedo counts.
_MM_OF_ALBEDO = 30.0
# Draws what the vertices leave open to the answer.
_RIDGE = 1e-3


def measure_prior(
    model: FaceReconstructor,
    builder: tfds.core.DatasetBuilder,
    split: str,
    num_frames: int,
    max_examples: int = 500,
) -> AnswerPrior:
    """Measures truth − answer on a split that the model has not learned from.

    The truth's parameters are those that come nearest to it over the face, after its shape is
    aligned by similarity with the answer's.

    Args:
      model: with the open template.
      builder: a data set with truth.
      split: whose people.
      num_frames: M of the answers from several frames.
      max_examples: at most this many.
    """
    count = min(builder.info.splits[split].num_examples, max_examples)
    template = model.template
    coarse = len(load_makehuman("4k").mean_shape)  # which come first at every level
    face = np.flatnonzero(template.regions["face"][:coarse])
    linear = LinearFace.of(model, face)
    of_identity = np.concatenate([linear.shape, _MM_OF_ALBEDO * linear.albedo])
    of_identity = _Fit(of_identity.reshape(-1, of_identity.shape[2]))
    of_expression = _Fit(linear.expression.reshape(-1, linear.expression.shape[2]))
    encode = tf.function(model.encode, reduce_retracing=True)

    def identity_error(identity, shape, albedo):
        """What is missing in an answer [Z], and the truth's alignment with it."""
        answer = model.face_model.identity(identity)
        vertices, colours = (
            tf.gather(values, face)[..., 0].numpy()
            for values in (answer.neutral_vertices, answer.albedo)
        )
        aligned = procrustes(shape, vertices)
        missing = [aligned.apply(shape) - vertices, _MM_OF_ALBEDO * (albedo - colours)]
        return of_identity.solve(np.concatenate(missing).ravel()), aligned

    errors = {"identity_single": [], "identity_pooled": [], "expression": []}
    landmark_errors = []
    examples = evaluation_examples(builder, split, num_frames)
    for batch, example in tqdm(
        itertools.islice(examples, count), "measure the prior", count, leave=False
    ):
        truth, single = batch.truth, batch.by_frame()
        singles = encode(single.frames, single.frame_mask)
        pooled = encode(batch.frames, batch.frame_mask)
        shape = truth.neutral_shape[0].numpy().astype(np.float64)[face]
        albedo = truth.albedo[0].numpy()[face]

        error, aligned = identity_error(pooled.identity, shape, albedo)
        errors["identity_pooled"].append(error)
        for m in range(num_frames):
            identity = {name: values[m : m + 1] for name, values in singles.identity.items()}
            errors["identity_single"].append(identity_error(identity, shape, albedo)[0])
            activations = truth.blendshape_activations[0, m].numpy()
            moved = np.tensordot(activations, template.blendshapes[:, face], axes=1)
            moved = aligned.apply(shape + moved) - aligned.apply(shape)
            answer = pooled.expression[0, m].numpy() / model.expression_basis.sigma
            moved -= linear.expression @ answer
            errors["expression"].append(of_expression.solve(moved.ravel()))
        landmark_errors.append(example["landmarks"].numpy() - example["true_landmarks"].numpy())
    distance = np.linalg.norm(np.concatenate(landmark_errors), axis=-1)
    return AnswerPrior(
        **{name: _second_moments(values) for name, values in errors.items()},
        # The median of a distance in the plane is 1.1774 deviations of each coordinate.
        landmark_px=np.median(distance, axis=0) / 1.1774,
        num_people=np.array(count),
    )


class _Fit:
    """Least squares with a small ridge."""

    def __init__(self, matrix: np.ndarray):
        normal = matrix.T @ matrix
        ridge = _RIDGE * np.trace(normal) / len(normal)
        self._solver = np.linalg.solve(normal + ridge * np.eye(len(normal)), matrix.T)

    def solve(self, targets: np.ndarray) -> np.ndarray:
        return self._solver @ targets


def _second_moments(values: list[np.ndarray]) -> np.ndarray:
    values = np.stack(values)
    return values.T @ values / len(values)
