"""Writes the checkpoint of a model with random weights: sizes and speeds without a training.

    python -m tools.export.write_random_checkpoint --template_resolution=60k --output_dir=random

Its faces differ from each other about as much as people do, so that what exports and conversions
cost in accuracy can be measured on it. All flags of the model but the template's resolution start
at the paper's sizes.
"""

import os
import sys

from fml_tf import quiet  # noqa: F401  # isort: skip

import keras
import numpy as np
from absl import app, flags

from fml_tf.config import ModelConfig, define_flags, from_flags
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.models.saving import Description, save_model

COEFFICIENT = 0.3  # standard deviation of what the networks regress, in their heads' units
SHAPE_MM = 10.0  # of a vertex's coordinate, for coefficients of 1
ALBEDO = 0.3


def randomise(model: FaceReconstructor, seed: int) -> None:
    """Gives the heads, which start at zero, and the bases something to say."""
    rng = np.random.default_rng(seed)

    def assign(weight, stddev):
        weight.assign(rng.normal(scale=stddev, size=weight.shape).astype(np.float32))

    encoder = model.encoder
    for network in (encoder.identity_network, encoder.parameter_network):
        kernel = network.body[-1].kernel
        assign(kernel, COEFFICIENT / np.sqrt(kernel.shape[0]))
    shape, albedo = model.face_model.shape_basis, model.face_model.albedo_basis
    assign(shape, SHAPE_MM / model.config.length_unit_mm / np.sqrt(shape.shape[1]))
    assign(albedo, ALBEDO / np.sqrt(albedo.shape[1]))


def main(arguments):
    """Writes the checkpoint."""
    options = flags.FLAGS
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    if os.path.exists(options.output_dir):
        sys.exit(f"write_random_checkpoint: {options.output_dir}: is there already")
    keras.utils.set_random_seed(options.seed)
    model = build_model(from_flags(ModelConfig, options))
    randomise(model, options.seed)
    save_model(model, options.output_dir, Description(training_data="none: random weights"))
    print(f"Wrote {sum(model.count_weights().values()) / 1e6:.1f} M weights")


if __name__ == "__main__":
    define_flags(ModelConfig, __name__)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_integer("seed", 0, "Seed of all weights.")
    app.run(main)
