"""What the loss weights do: fits faces to synthetic people directly, without networks.

Each person's shape, albedo, poses, expressions and lights are free variables of the training
objective, minimised by Adam from the mean face in front of the camera; so is what a system learns
of all people (of FML the graph's nodes and the albedo, of the multi-level model the correctives).
What is left of the errors is what the objective itself allows, however well a network learns.

  python -m tools.measuring.loss_weights --flagfile=configs/self_supervised.cfg
  python -m tools.measuring.loss_weights --flagfile=configs/multilevel_small.cfg

prints one row for the weights of the flags (but for those on the truth), and rows with one weight
changed; for FML also one for the paper's printed weights. A system that learns from single frames
gets each frame as a person. The people are those of the split 'validation'.
"""

import dataclasses
import itertools
from collections.abc import Mapping

from fml_tf import quiet  # noqa: F401  # isort: skip

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags

from datasets.opening import open_dataset
from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.data.batches import evaluation_examples, mean_shape
from fml_tf.data.ground_truth import albedo_difference
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.losses.objective import PAPER_WEIGHTS, Evaluation, build_objective, loss_weights
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import DecodedFaces, FaceParameters, MultiFrameBatch

define_flags(ModelConfig, __name__)
define_flags(TrainConfig, __name__)
_NUM_PEOPLE = flags.DEFINE_integer("num_people", 12, "People to fit.", lower_bound=1)
_STEPS = flags.DEFINE_integer(
    "steps", 300, "Steps for the poses, and then the same number for everything."
)

# Adam's rates: of FML's shape and of learned bases in length units, of the translation in mm, of
# statistical coefficients in σ.
_POSE_RATES = {"rotation": 1e-2, "translation": 5.0}
_RATES = {"rotation": 5e-3, "translation": 1.0, "expression": 2e-2, "illumination": 1e-2}
_RATES |= {"shape_basis": 1e-3, "albedo_basis": 5e-3}
_NODE_RATE, _COEFFICIENT_RATE = 1e-3, 3e-2
# Terms on the truth are no part of what a system learns from pictures; the fit in the loop is one
# by itself.
_LEFT_OUT = ("true_", "landmark_fit")


@dataclasses.dataclass(frozen=True)
class FreeModel:
    """A model in which each person has all that can be learned for itself.

    Attributes:
      model: the model.
      rates: of the parameters and bases that are fitted.
      one_a_person: parameters of the identity that are held, person p having vector p of a basis.
    """

    model: FaceReconstructor
    rates: Mapping[str, float]
    one_a_person: tuple[str, ...]


def free_model(config: ModelConfig, num_people: int) -> FreeModel:
    """The model of a config's system, template and expressions for so many people."""
    config = dataclasses.replace(config, network_width=0.05)
    if config.system == "fml":
        # Θs is the identity, so that α are the nodes' displacements.
        size = 3 * config.num_graph_nodes
        model = build_model(dataclasses.replace(config, shape_size=size, albedo_size=num_people))
        model.face_model.shape_basis.assign(tf.eye(size))
        rates = {"shape": _NODE_RATE, "albedo_basis": _RATES["albedo_basis"]}
        return FreeModel(model, rates, ("albedo",))
    model = build_model(dataclasses.replace(config, corrective_size=num_people))
    rates = dict.fromkeys(("shape", "albedo"), _COEFFICIENT_RATE)
    correctives = model.face_model.corrective_names
    if correctives:
        rates |= {name: _RATES[name] for name in ("shape_basis", "albedo_basis")}
    return FreeModel(model, rates, correctives)


def fit(
    free: FreeModel, batch: MultiFrameBatch, weights: Mapping[str, float], steps: int
) -> tuple[FaceParameters, DecodedFaces, Evaluation]:
    """Minimises the objective over all parameters of a batch."""
    model = free.model
    objective = build_objective(model, weights)
    # The heads of a fresh model are zero: these are the mean face, centred, in even light.
    start = model.encode(batch.frames, batch.frame_mask)
    held = {name: tf.eye(len(start.identity[name])) for name in free.one_a_person}
    rates = free.rates | {name: _RATES[name] for name in start.frame}
    values = {name: tf.Variable(start.by_name()[name]) for name in rates if name in start.by_name()}
    for name in rates:
        if name not in values:
            values[name] = getattr(model.face_model, name).value
            values[name].assign(tf.zeros_like(values[name]))

    def evaluate():
        identity = {name: held.get(name, values.get(name)) for name in start.identity}
        parameters = FaceParameters(
            identity={name: tf.convert_to_tensor(value) for name, value in identity.items()},
            frame={name: values[name].value() for name in start.frame},
        )
        faces = model.decode(parameters)
        return parameters, faces, objective.evaluate(batch, parameters, faces)

    for stage_rates in (_POSE_RATES, rates):
        optimizers = {name: keras.optimizers.Adam(rate) for name, rate in stage_rates.items()}
        for name, optimizer in optimizers.items():
            optimizer.build([values[name]])

        @tf.function
        def step(optimizers=optimizers):
            with tf.GradientTape() as tape:
                loss = evaluate()[2].total
            gradients = tape.gradient(loss, {name: values[name] for name in optimizers})
            for name, optimizer in optimizers.items():
                if gradients[name] is not None:  # a weight of 0 may leave nothing that asks for it
                    optimizer.apply([gradients[name]], [values[name]])

        for _ in tqdm.trange(steps, leave=False, unit="step"):
            step()
    return evaluate()


def main(arguments):
    """Prints the table."""
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    config = from_flags(TrainConfig, flags.FLAGS)
    builder = open_dataset(config, from_flags(ModelConfig, flags.FLAGS))
    examples = evaluation_examples(builder, "validation", config.num_frames)
    people = [batch for batch, _ in itertools.islice(examples, _NUM_PEOPLE.value)]
    batch = tf.nest.map_structure(
        lambda *values: tf.concat(values, axis=0), *people, expand_composites=True
    )
    model_config = from_flags(ModelConfig, flags.FLAGS)
    free = free_model(model_config, len(people))
    if free.model.encoder.monocular:
        batch = batch.by_frame()
        free = free_model(model_config, len(batch.frames))
    truths, albedos = batch.truth.neutral_shape.numpy(), batch.truth.albedo.numpy()
    face = np.flatnonzero(free.model.template.regions["face"][: truths.shape[1]])

    def geometric_error(shapes):
        return np.mean([aligned_rmse(s[face], truth[face]) for s, truth in zip(shapes, truths)])

    def albedo_error(found):
        pairs = zip(found, albedos)
        return np.mean([albedo_difference(a[face], truth[face]) for a, truth in pairs])

    given = {
        name: weight
        for name, weight in loss_weights(config).items()
        if weight and not name.startswith(_LEFT_OUT)
    }
    cases = {"as the flags say": given}
    if model_config.system == "fml":
        cases = {"printed in the paper": PAPER_WEIGHTS, **cases}
    for name in given:
        if name.endswith(("photometric", "landmark")):
            continue
        for factor in (0.0, 0.1, 10.0):
            cases[f"  {name} x {factor:g}"] = {**given, name: factor * given[name]}
    constant = geometric_error([mean_shape(builder)] * len(truths))
    print(
        f"{len(truths)} people, {config.num_frames} frames each; mean of the training people "
        f"{constant:.2f} mm"
    )
    measures = build_objective(free.model, {"landmark": 1.0, "photometric": 1.0})
    columns = ["shape mm", "albedo", "lmk px", "RGB", *given]
    print(" | ".join(["weights", *columns]))
    for case, changed in cases.items():
        parameters, faces, evaluation = fit(free, batch, changed, _STEPS.value)
        measured = measures.evaluate(batch, parameters, faces).measures
        row = [
            geometric_error(faces.identity.neutral_vertices.numpy().transpose(2, 0, 1)),
            albedo_error(faces.identity.albedo.numpy().transpose(2, 0, 1)),
            np.mean(measured["landmark_px"]),
            np.mean(measured["photometric_rgb"]),
            *(
                evaluation.terms[name].numpy() if name in evaluation.terms else 0.0
                for name in given
            ),
        ]
        print(" | ".join([case, *(f"{value:.4g}" for value in row)]), flush=True)


if __name__ == "__main__":
    app.run(main)
