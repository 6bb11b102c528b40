"""What the loss weights do: fits faces to synthetic people directly, without networks.

Each person's shape (the graph's nodes), albedo, poses, expressions and lights are free variables
of the training objective, minimised by Adam from the mean face in front of the camera. What is
left of the geometric error is what the objective itself allows, however well a network learns.

  python -m tools.measuring.loss_weights --flagfile=configs/self_supervised.cfg

prints one row for the paper's printed weights, one for those of the flags (of the paper's terms),
and rows for the latter with one weight changed. The people are those of the split 'validation'.
"""

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

# Adam's rates: of the shape in length units, of the translation in mm.
_POSE_RATES = {"rotation": 1e-2, "translation": 5.0}
_RATES = {"shape": 1e-3, "rotation": 5e-3, "translation": 1.0, "expression": 2e-2}
_RATES |= {"illumination": 1e-2, "albedo_basis": 5e-3}


def free_model(num_people: int) -> FaceReconstructor:
    """A model in which each person has a shape and an albedo of its own.

    Θs is the identity, so that α are the nodes' displacements; of Θa, person p has vector p.
    """
    shape_size = 3 * ModelConfig.num_graph_nodes
    model = build_model(
        ModelConfig(shape_size=shape_size, albedo_size=num_people, network_width=0.05)
    )
    model.face_model.shape_basis.assign(tf.eye(shape_size))
    return model


def fit(
    model: FaceReconstructor, batch: MultiFrameBatch, weights: Mapping[str, float], steps: int
) -> tuple[DecodedFaces, Evaluation]:
    """Minimises the objective over all parameters of a batch."""
    objective = build_objective(model, weights)
    # The heads of a fresh model are zero: these are the mean face, centred, in ambient light.
    start = model.encode(batch.frames, batch.frame_mask)
    one_vector_a_person = tf.eye(start.identity["albedo"].shape[0])
    free = {name: tf.Variable(values) for name, values in start.by_name().items() if name in _RATES}
    free["albedo_basis"] = model.face_model.albedo_basis.value
    free["albedo_basis"].assign(tf.zeros_like(free["albedo_basis"]))

    def evaluate():
        parameters = FaceParameters(
            identity={"shape": free["shape"].value(), "albedo": one_vector_a_person},
            frame={name: free[name].value() for name in start.frame},
        )
        faces = model.decode(parameters)
        return faces, objective.evaluate(batch, parameters, faces)

    for rates in (_POSE_RATES, _RATES):
        optimizers = {name: keras.optimizers.Adam(rate) for name, rate in rates.items()}
        for name, optimizer in optimizers.items():
            optimizer.build([free[name]])

        @tf.function
        def step(optimizers=optimizers):
            with tf.GradientTape() as tape:
                loss = evaluate()[1].total
            gradients = tape.gradient(loss, {name: free[name] for name in optimizers})
            for name, optimizer in optimizers.items():
                optimizer.apply([gradients[name]], [free[name]])

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
    truths = batch.truth.neutral_shape.numpy()
    model = free_model(len(people))
    face = np.flatnonzero(model.template.regions["face"][: truths.shape[1]])

    def geometric_error(shapes):
        return np.mean([aligned_rmse(s[face], truth[face]) for s, truth in zip(shapes, truths)])

    weights = loss_weights(config)
    given = {name: weights[name] for name in PAPER_WEIGHTS if weights[name]}
    cases = {"printed in the paper": PAPER_WEIGHTS, "as the flags say": given}
    for name in list(given)[2:]:
        for factor in (0.0, 0.1, 10.0):
            cases[f"  {name} x {factor:g}"] = {**given, name: factor * given[name]}
    constant = geometric_error([mean_shape(builder)] * len(truths))
    print(
        f"{len(truths)} people, {config.num_frames} frames each; mean of the training people "
        f"{constant:.2f} mm"
    )
    columns = ["shape mm", "lmk px", "RGB", *given]
    print(f"{'weights':24s}" + "".join(f"{column:>12s}" for column in columns))
    for case, changed in cases.items():
        faces, evaluation = fit(model, batch, changed, _STEPS.value)
        shapes = faces.identity.neutral_vertices.numpy().transpose(2, 0, 1)
        row = [
            geometric_error(shapes),
            np.mean(evaluation.measures["landmark_px"]),
            np.mean(evaluation.measures["photometric_rgb"]),
            *(
                evaluation.terms[name].numpy() if name in evaluation.terms else 0.0
                for name in given
            ),
        ]
        print(f"{case:24s}" + "".join(f"{value:12.4g}" for value in row), flush=True)


if __name__ == "__main__":
    app.run(main)
