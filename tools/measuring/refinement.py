"""What refinement brings on people with known truth, by settings; R² is about the training mean.

    python -m tools.measuring.refinement --dataset=large --num_people=60
    python -m tools.measuring.refinement --dataset=large --settings=landmark_scale=1,2,3

The settings of `RefinementSettings` were chosen by it on the split `validation`.
"""

import dataclasses
import itertools

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags
from tqdm import tqdm

from datasets import synthetic_faces
from fml_tf.data.batches import evaluation_examples
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.preprocessing.face_mesh import DenseFace
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.refinement.refiner import METHODS, RefinementSettings, Refiner

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)
_DATASET = flags.DEFINE_string("dataset", "quickstart", "Configuration of synthetic_faces.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of it.")
_NUM_PEOPLE = flags.DEFINE_integer("num_people", 60, "How many people, the first.", lower_bound=1)
_NUM_FRAMES = flags.DEFINE_list("num_frames", ["1", "4"], "Values of M.")
_SETTINGS = flags.DEFINE_multi_string(
    "settings", [], "NAME=VALUE,VALUE of RefinementSettings: each value is tried by itself."
)
_DENSE = flags.DEFINE_bool(
    "dense", False, "Let MediaPipe find dense points in the crops, beside the simulated landmarks."
)


def variants() -> dict[str, RefinementSettings]:
    """The default settings, and those that the flags change, by name."""
    default = RefinementSettings()
    found = {method: dataclasses.replace(default, method=method) for method in METHODS}
    for text in _SETTINGS.value:
        name, values = text.split("=")
        for value in values.split(","):
            found[f"{name}={value}"] = dataclasses.replace(default, **{name: float(value)})
    return found


def dense_points(frames: np.ndarray) -> np.ndarray | None:
    """[M, 468, 3] as `Refiner.refine` takes them; None where a face is not found."""
    detector = make_landmark_detector("mediapipe")
    found = []
    for frame in frames:
        faces = detector.detect(np.uint8(np.round(255 * frame)))
        if not faces or not isinstance(faces[0], DenseFace):
            return None
        found.append(np.concatenate([faces[0].dense[:, :2], faces[0].dense_confidence[:, None]], 1))
    return np.stack(found)


def main(argv):
    """Prints a row for each M and variant."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    model = load_model(_CHECKPOINT.value)
    builder = synthetic_faces.build(_DATA_DIR.value, _DATASET.value)
    refiners = {name: Refiner(model, model.prior, value) for name, value in variants().items()}
    template = model.template
    errors = {}
    face = None
    examples = evaluation_examples(builder, _SPLIT.value, 4)
    for batch, _ in tqdm(itertools.islice(examples, _NUM_PEOPLE.value), total=_NUM_PEOPLE.value):
        truth = batch.truth.neutral_shape[0].numpy()
        face = np.flatnonzero(template.regions["face"][: len(truth)])
        activations = batch.truth.blendshape_activations[0].numpy()
        expressions = np.tensordot(activations, template.blendshapes[:, face], axes=1)
        error = aligned_rmse(model.training_mean[face], truth[face])
        errors.setdefault(("", "training mean"), []).append((error, *[np.nan] * 3))
        for count in map(int, _NUM_FRAMES.value):
            frames = batch.frames[:, :count]
            answer = model.encode(frames, tf.ones((1, count), tf.bool))
            pictures = frames[0].numpy()
            marks = (
                batch.landmarks[0, :count].numpy(),
                batch.landmark_confidence[0, :count].numpy(),
            )
            dense = dense_points(pictures) if _DENSE.value else None
            found = {"network": answer}
            for name, refiner in refiners.items():
                found[name] = refiner.refine(pictures, *marks, answer, dense).parameters
            for name, parameters in found.items():
                faces = model.decode(parameters)
                shape = faces.identity.neutral_vertices[..., 0].numpy()[face]
                moved = np.moveaxis(faces.displacements.numpy()[face], -1, 0)
                positions = np.moveaxis(faces.positions.numpy()[face], -1, 0)
                true_positions = batch.truth.positions[0, :count].numpy()[:, face]
                albedo = faces.identity.albedo[..., 0].numpy()[face]
                true_albedo = batch.truth.albedo[0].numpy()[face]
                gain = np.sum(albedo * true_albedo, axis=0) / np.sum(albedo**2, axis=0)
                errors.setdefault((f"M = {count}", name), []).append(
                    (
                        aligned_rmse(shape, truth[face]),
                        np.sqrt(np.mean(np.sum((moved - expressions[:count]) ** 2, axis=-1))),
                        np.mean(np.linalg.norm(positions - true_positions, axis=-1)),
                        255 * np.mean(np.abs(gain * albedo - true_albedo)),
                    )
                )
    constant = np.square([row[0] for row in errors["", "training mean"]]).mean()
    print("| M | method | shape, mm | R² | expression, mm | position, px | albedo, RGB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (count, name), rows in errors.items():
        rows = np.array(rows)
        r2 = 1 - np.square(rows[:, 0]).mean() / constant
        means = rows.mean(axis=0)
        print(
            f"| {count} | {name} | {means[0]:.3f} | {r2:.3f} | {means[1]:.3f} | {means[2]:.2f} "
            f"| {means[3]:.2f} |"
        )


if __name__ == "__main__":
    app.run(main)
