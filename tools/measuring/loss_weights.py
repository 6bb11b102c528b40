"""What the loss weights do: fits faces to synthetic people directly, without networks.

Each person's shape (the graph's nodes), albedo, poses, expressions and lights are free variables
of the training objective, minimised by Adam from the mean face in front of the camera. What is
left of the geometric error is what the objective itself allows, however well a network learns.

  python -m tools.measuring.loss_weights --data_dir=data

prints one row for the paper's printed weights, one for those of configs/quickstart.cfg, and rows
for the latter with one weight changed.
"""

import dataclasses
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags

from datasets import synthetic_faces
from fml_tf.config import ModelConfig
from fml_tf.data.batches import evaluation_examples
from fml_tf.losses.objective import PAPER_WEIGHTS, LossWeights, weigh
from fml_tf.models.fml_model import FmlModel
from fml_tf.structures import FaceParameters, MultiFrameBatch
from fml_tf.training.train_step import Objective
from fml_tf.training.validation import aligned_rmse

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_NUM_PEOPLE = flags.DEFINE_integer("num_people", 12, "People of the test split.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 300, "Steps for the poses, then as many for everything.")

_NUM_FRAMES = 4
_TUNED = LossWeights(photometric=5.0, landmark=10.0, smoothness=0.1, sparsity=3e-5, expression=3e-3)
# Adam's rates: of the shape in length units, of the translation in mm.
_POSE_RATES = {"rotation": 1e-2, "translation": 5.0}
_RATES = {"shape": 1e-3, "rotation": 5e-3, "translation": 1.0, "expression": 2e-2}
_RATES |= {"illumination": 1e-2, "albedo_basis": 5e-3}


def free_model(num_people: int) -> FmlModel:
    """A model in which each person has a shape and an albedo of its own.

    Θs is the identity, so that α are the nodes' displacements; of Θa, person p has vector p.
    """
    shape_size = 3 * ModelConfig.num_graph_nodes
    model = FmlModel(ModelConfig(shape_size=shape_size, albedo_size=num_people, network_width=0.05))
    model.face_model.shape_basis.assign(tf.eye(shape_size))
    return model


def fit(model: FmlModel, batch: MultiFrameBatch, weights: LossWeights, steps: int):
    """Minimises the objective over all parameters of a batch: (faces, terms, errors)."""
    objective = Objective(model, weights)
    # The heads of a fresh model are zero: these are the mean face, centred, in ambient light.
    start = model.encode(batch.frames, batch.frame_mask)
    one_vector_a_person = tf.eye(start.albedo.shape[0])
    free = {name: tf.Variable(getattr(start, name)) for name in _RATES if hasattr(start, name)}
    free["albedo_basis"] = model.face_model.albedo_basis.value
    free["albedo_basis"].assign(tf.zeros_like(free["albedo_basis"]))

    def evaluate():
        values = {name: value for name, value in free.items() if name != "albedo_basis"}
        parameters = FaceParameters(albedo=one_vector_a_person, **values)
        faces = model.decode(parameters)
        return faces, *objective.evaluate(batch, parameters, faces)

    for rates in (_POSE_RATES, _RATES):
        optimizers = {name: keras.optimizers.Adam(rate) for name, rate in rates.items()}
        for name, optimizer in optimizers.items():
            optimizer.build([free[name]])

        @tf.function
        def step(optimizers=optimizers):
            with tf.GradientTape() as tape:
                loss = objective.total(evaluate()[1])
            gradients = tape.gradient(loss, {name: free[name] for name in optimizers})
            for name, optimizer in optimizers.items():
                optimizer.apply([gradients[name]], [free[name]])

        for _ in tqdm.trange(steps, leave=False, unit="step"):
            step()
    return evaluate()


def main(_):
    """Prints the table."""
    builder = synthetic_faces.build(_DATA_DIR.value, "quickstart")
    examples = evaluation_examples(builder, "test", _NUM_FRAMES)
    examples = list(itertools.islice(examples, _NUM_PEOPLE.value))
    truths = [example["neutral_shape"].numpy() for _, example in examples]
    names = [field.name for field in dataclasses.fields(LossWeights)]
    batch = MultiFrameBatch(
        **{
            field: tf.concat([getattr(person, field) for person, _ in examples], axis=0)
            for field in ("frames", "frame_mask", "landmarks", "landmark_confidence")
        }
    )
    model = free_model(len(examples))
    face = np.flatnonzero(model.template.regions["face"][: len(truths[0])])

    def geometric_error(shapes):
        return np.mean([aligned_rmse(s[face], truth[face]) for s, truth in zip(shapes, truths)])

    cases = {"printed in the paper": PAPER_WEIGHTS, "quickstart.cfg": _TUNED}
    for name in names[2:]:
        for factor in (0.0, 0.1, 10.0):
            changed = {name: factor * getattr(_TUNED, name)}
            cases[f"  {name} x {factor:g}"] = dataclasses.replace(_TUNED, **changed)
    mean_face = geometric_error([model.template.mean_shape] * len(truths))
    print(f"{len(truths)} people, {_NUM_FRAMES} frames each; mean face {mean_face:.2f} mm")
    columns = ["shape mm", "lmk px", "RGB", *names]
    print(f"{'weights':24s}" + "".join(f"{column:>12s}" for column in columns))
    for case, weights in cases.items():
        faces, terms, errors = fit(model, batch, weights, _STEPS.value)
        shapes = faces.identity_vertices.numpy().transpose(2, 0, 1)
        weighed = weigh(terms, weights, model.template.num_vertices).as_dict()
        row = [
            geometric_error(shapes),
            np.mean(errors.landmark_px),
            np.mean(errors.photometric),
            *(term.numpy() for term in weighed.values()),
        ]
        print(f"{case:24s}" + "".join(f"{value:12.4g}" for value in row), flush=True)


if __name__ == "__main__":
    app.run(main)
