"""Trains FML: learns a face model, and the network that reconstructs faces with it, from clips.

Example (a newcomer's, minutes on a laptop's CPU):

  python train.py --flagfile=configs/quickstart.cfg --output_dir=runs/quickstart

A run can be stopped at any time. The same command resumes it from the last checkpoint, on a CPU
with exactly the losses of a run that was not stopped. Watch it with
`tensorboard --logdir=OUTPUT_DIR`.

OUTPUT_DIR holds the saved models `best` (by the objective on the split 'validation') and `last`,
`config.json`, checkpoints to resume from, and at the end `metrics.json` and `report.html`, measured
on the split 'test'. Where the truth is known, the best model is then told how far its answers lie
from it, for `reconstruct.py --refine`. With --initial_checkpoint, `metrics_before.json` holds the
errors of its model on the split 'validation', or where there is none on that of `metrics.json`.
`reconstruct.py --checkpoint=OUTPUT_DIR` takes the best model.
"""

import os
import platform
import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from datasets.opening import open_dataset
from fml_tf import __version__
from fml_tf.command_line import one_line_errors
from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.files.atomic import write_json
from fml_tf.files.folders import checked_tensorflow_dir, probe_directory
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.training.report import write_report
from fml_tf.training.trainer import NonFiniteLossError, Trainer, is_chief, make_strategy
from fml_tf.training.validation import Validator

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder of this run.", required=True)
_PRINT_SUMMARY = flags.DEFINE_bool(
    "print_summary", False, "Print the number of weights of each part and stop."
)
define_flags(ModelConfig, __name__)
define_flags(TrainConfig, __name__)


def print_summary(model: FaceReconstructor) -> None:
    """Prints the weights of each part of the model and their sum."""
    counts = model.count_weights()
    networks = model.encoder.count_params()
    for name, number in counts.items():
        print(f"{name:32s} {number:>12,d}")
    print(f"{'networks':32s} {networks:>12,d}")
    print(f"{'total':32s} {sum(counts.values()):>12,d}")
    layouts = (model.identity_layout, model.frame_layout)
    sizes = {part.name: part.size for layout in layouts for part in layout.parameters}
    sizes = {"vertices": model.template.num_vertices, **sizes}
    print(", ".join(f"{name} {size}" for name, size in sizes.items()))


def train(model_config: ModelConfig, config: TrainConfig, output_dir: str) -> dict:
    """Trains, validates on held-out people and writes `metrics.json` and `report.html`."""
    start = time.monotonic()
    os.makedirs(output_dir, exist_ok=True)
    strategy = make_strategy(config.distribution)
    if is_chief(strategy):
        builder = open_dataset(config, model_config)
    # Where several workers share a folder, the others wait until the chief has prepared the data.
    strategy.reduce("sum", strategy.run(lambda: tf.zeros([])), axis=None)
    if not is_chief(strategy):
        builder = open_dataset(config, model_config)
    trainer = Trainer(model_config, config, builder, output_dir, strategy)
    # Clips of one person are not split.
    final = "test" if "test" in builder.info.splits else "train"

    def measure(split: str) -> tuple[dict, list[float]]:
        """Figures of a split, and an error of each of its examples."""
        validator = Validator(trainer.model, trainer.objective, builder, split, config.num_frames)
        return {**validator.run(progress=True), "split": split}, validator.errors

    if trainer.is_chief and config.initial_checkpoint and trainer.restore() == 0:
        # Test people are for the end alone, unless there are no others that it can compare with.
        before, _ = measure("validation" if "validation" in builder.info.splits else final)
        write_json(os.path.join(output_dir, "metrics_before.json"), before)
    trainer.run(start)
    trained = time.monotonic()
    if not trainer.is_chief:
        return {}
    trainer.load_best()
    trainer.measure_prior()
    figures, errors = measure(final)
    metrics = {
        **figures,
        "seconds": trainer.seconds.numpy().item() + time.monotonic() - trained,
        "steps": trainer.schedule.total_steps,
        "versions": {
            "fml_tf": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
    write_json(os.path.join(output_dir, "metrics.json"), metrics)
    write_report(output_dir, trainer, builder, metrics, errors)
    return metrics


def main(argv) -> None:
    """Reads the flags and trains."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1]!r}; a config is given as --flagfile={argv[1]}")
    model_config = from_flags(ModelConfig, flags.FLAGS)
    config = from_flags(TrainConfig, flags.FLAGS)
    # TensorFlow's own error where a disk is full is no OSError.
    with one_line_errors("train.py", NonFiniteLossError, tf.errors.OpError):
        if _PRINT_SUMMARY.value:
            print_summary(build_model(model_config))
            return
        output_dir = checked_tensorflow_dir(_OUTPUT_DIR.value)
        probe_directory(output_dir)
        metrics = train(model_config, config, output_dir)
    for name, value in metrics.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    app.run(main)
