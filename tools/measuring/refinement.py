"""What refinement brings on people with known truth, by settings; R² is about the training mean.

    python -m tools.measuring.refinement --dataset=large --num_people=60
    python -m tools.measuring.refinement --dataset=large --settings=landmark_scale=1,2,3

The settings of `RefinementSettings` were chosen by it on the split `validation`.
"""

import collections
import dataclasses
import itertools

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags
from tqdm import tqdm

from datasets import synthetic_faces
from fml_tf.command_line import one_line_errors
from fml_tf.data.batches import evaluation_examples
from fml_tf.data.ground_truth import albedo_difference
from fml_tf.geometry.alignment import aligned_rmse, procrustes
from fml_tf.geometry.crop import CropTransform
from fml_tf.models.face_models.people_bases import similarity_moves
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.preprocessing.face_mesh import DenseFace
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.preprocessing.prepare import dense_evidence
from fml_tf.refinement.linear_face import LinearFace
from fml_tf.refinement.refiner import METHODS, RefinementSettings, Refiner
from fml_tf.template.makehuman import load_makehuman

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)
_DATASET = flags.DEFINE_string("dataset", "quickstart", "Configuration of synthetic_faces.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of it.")
_NUM_PEOPLE = flags.DEFINE_integer("num_people", 60, "How many people, the first.", lower_bound=1)
_NUM_FRAMES = flags.DEFINE_list("num_frames", ["1", "4"], "Values of M.")
_SETTINGS = flags.DEFINE_multi_string(
    "settings", [], "NAME=VALUE,VALUE of RefinementSettings: each value is tried by itself."
)
_DETECTED = flags.DEFINE_bool(
    "detected",
    False,
    "Let MediaPipe find landmarks and dense points in the crops, as reconstruct.py does, in place "
    "of the simulated landmarks; who is not found in all frames is left out.",
)


def variants() -> dict[str, RefinementSettings]:
    """The default settings, and those that the flags change, by name.

    Raises:
      ValueError: no such setting, or no number.
    """
    default = RefinementSettings()
    found = {method: dataclasses.replace(default, method=method) for method in METHODS}
    for text in _SETTINGS.value:
        name, _, values = text.partition("=")
        kind = type(getattr(default, name, None))
        if kind not in (float, int):
            raise ValueError(f"--settings={text}: {name} is no number of RefinementSettings")
        for value in values.split(","):
            found[f"{name}={value}"] = dataclasses.replace(default, **{name: kind(value)})
    return found


def detect(frames: np.ndarray, detector: LandmarkDetector) -> tuple[np.ndarray, ...] | None:
    """Landmarks, confidence and dense points of M frames; None where a face is not found."""
    found = []
    for frame in frames:
        faces = detector.detect(np.uint8(np.round(255 * frame)))
        if not faces or not isinstance(faces[0], DenseFace):
            return None
        size = len(frame)
        dense = dense_evidence(faces[0], CropTransform(0, 0, size, size))
        found.append((faces[0].landmarks, faces[0].confidence, dense))
    return tuple(map(np.stack, zip(*found)))


def nearest_shape(linear: LinearFace, truth: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The shape [face, 3] that comes nearest to a truth of all that the face model can show."""
    moves = similarity_moves(mean, np.ones(len(mean)))
    scale = np.abs(linear.shape).max()
    columns = linear.shape.reshape(len(moves), -1)
    target = (procrustes(truth, mean).apply(truth) - mean).ravel()
    both = np.concatenate([columns, scale * moves], axis=1)
    coefficients = np.linalg.lstsq(both, target, rcond=1e-6)[0][: columns.shape[1]]
    return mean + (columns @ coefficients).reshape(-1, 3)


def figures(faces, face, truth, expressions) -> tuple[float, float, float, float]:
    """Errors of the shape, mm; the expression, mm; the face's positions, px; the albedo, of 255."""
    shape = faces.identity.neutral_vertices[..., 0].numpy()[face]
    moved = np.moveaxis(faces.displacements.numpy()[face], -1, 0)
    positions = np.moveaxis(faces.positions.numpy()[face], -1, 0)
    count = len(moved)
    distance = positions - truth.positions[0, :count].numpy()[:, face]
    return (
        aligned_rmse(shape, truth.neutral_shape[0].numpy()[face]),
        np.sqrt(np.mean(np.sum((moved - expressions[:count]) ** 2, axis=-1))),
        np.mean(np.linalg.norm(distance, axis=-1)),
        albedo_difference(
            faces.identity.albedo[..., 0].numpy()[face], truth.albedo[0].numpy()[face]
        ),
    )


def main(argv):
    """Prints a row for each M and variant."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    with one_line_errors("refinement"):
        measure()


def measure():
    """Measures all variants on the same people.

    Raises:
      ValueError: a flag that cannot be used, or a model that cannot be refined.
    """
    model = load_model(_CHECKPOINT.value)
    if model.prior is None or model.training_mean is None:
        raise ValueError(f"--checkpoint={_CHECKPOINT.value}: was not trained on synthetic_faces")
    counts = [int(count) for count in _NUM_FRAMES.value]
    detector = make_landmark_detector("mediapipe") if _DETECTED.value else None
    refiners = {name: Refiner(model, model.prior, value) for name, value in variants().items()}
    builder = synthetic_faces.build(_DATA_DIR.value, _DATASET.value)
    open_template, template = load_makehuman("4k"), model.template
    face = np.flatnonzero(open_template.regions["face"])
    linear, mean = LinearFace.of(model, face), template.mean_shape[face].astype(np.float64)
    rows = collections.defaultdict(list)
    examples = evaluation_examples(builder, _SPLIT.value, max(counts))
    left_out = 0
    for batch, _ in tqdm(itertools.islice(examples, _NUM_PEOPLE.value), total=_NUM_PEOPLE.value):
        truth, pictures = batch.truth, batch.frames[0].numpy()
        marks = (batch.landmarks[0].numpy(), batch.landmark_confidence[0].numpy())
        if detector:
            marks = detect(pictures, detector)
            if marks is None:
                left_out += 1
                continue
        shape = truth.neutral_shape[0].numpy()[face]
        activations = truth.blendshape_activations[0].numpy()
        expressions = np.tensordot(activations, open_template.blendshapes[:, face], axes=1)
        unknown = (np.nan,) * 3
        rows["", "training mean"].append((aligned_rmse(model.training_mean[face], shape), *unknown))
        nearest = nearest_shape(linear, shape, mean)
        rows["", "nearest in the face model"].append((aligned_rmse(nearest, shape), *unknown))
        for count in counts:
            frames = batch.frames[:, :count]
            seen, confidence, *dense = (values[:count] for values in marks)
            answer = model.encode(frames, tf.ones((1, count), tf.bool))
            found = {"network": answer}
            for name, refiner in refiners.items():
                refined = refiner.refine(pictures[:count], seen, confidence, answer, *dense)
                found[name] = refined.parameters
            for name, parameters in found.items():
                errors = figures(model.decode(parameters), face, truth, expressions)
                rows[f"{count}", name].append(errors)
    constant = np.square([row[0] for row in rows["", "training mean"]]).mean()
    if left_out:
        print(f"{left_out} people were left out: a face was not found.\n")
    print("| M | method | shape, mm | R² | expression, mm | position, px | albedo, RGB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (count, name), errors in rows.items():
        errors = np.array(errors)
        r2 = 1 - np.square(errors[:, 0]).mean() / constant
        means = errors.mean(axis=0)
        print(
            f"| {count} | {name} | {means[0]:.3f} | {r2:.3f} | {means[1]:.3f} | {means[2]:.2f} "
            f"| {means[3]:.2f} |"
        )


if __name__ == "__main__":
    app.run(main)
