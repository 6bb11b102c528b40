"""Examples per second that the input pipeline delivers, beside what a training step consumes.

    python -m benchmarks.input_pipeline --flagfile=configs/voxceleb2.cfg --data_dir=data

Takes train.py's flags; the records are those that it would train on.
"""

import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks.train_step import random_batch
from datasets.opening import open_dataset
from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.data.augmentation import Augmentation
from fml_tf.data.batches import training_batches
from fml_tf.losses.objective import PAPER_WEIGHTS, build_objective
from fml_tf.models.building import build_model
from fml_tf.training.optimizer import FusedAdam
from fml_tf.training.train_step import TrainStep

# What the flags' help texts name as examples.
AUGMENTATION = Augmentation(colour=0.2, crop=0.04, blur=1.5, flip=True)


def delivered(builder, config: TrainConfig, augmentation: Augmentation, seconds: float) -> float:
    """Examples a second of the pipeline alone, after its first batches."""
    batches = iter(
        training_batches(
            builder,
            num_frames=config.num_frames,
            global_batch_size=config.batch_size,
            seed=config.seed,
            augmentation=augmentation,
        )
    )
    for _ in range(5):  # fills the buffers
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += config.batch_size
    return count / (time.perf_counter() - start)


def consumed(model_config: ModelConfig, config: TrainConfig, rounds: int) -> float:
    """Examples per second of training steps on a batch in memory; of the median step."""
    model = build_model(model_config)
    optimizer = FusedAdam(weight.value for weight in model.trainable_weights)
    train_step = TrainStep(model, build_objective(model, PAPER_WEIGHTS), optimizer)
    batch = random_batch(model_config, config.batch_size, config.num_frames)
    rates = dict.fromkeys(model.weight_groups(), tf.constant(1e-4))

    @tf.function
    def step():
        return train_step(batch, rates).total

    step().numpy()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step().numpy()
        seconds.append(time.perf_counter() - start)
    return config.batch_size / float(np.median(seconds))


def main(argv):
    """Prints both rates."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    model_config = from_flags(ModelConfig, flags.FLAGS)
    config = from_flags(TrainConfig, flags.FLAGS)
    builder = open_dataset(config, model_config)
    rates = {
        "pipeline": delivered(builder, config, Augmentation(), flags.FLAGS.seconds),
        "pipeline, augmented": delivered(builder, config, AUGMENTATION, flags.FLAGS.seconds),
    }
    step = consumed(model_config, config, flags.FLAGS.rounds)
    print(f"{builder.info.full_name}, B = {config.batch_size}, M = {config.num_frames}")
    for name, rate in rates.items():
        print(f"{name:20s}{rate:8.1f} examples/s, {rate / step:6.1f} times what a step consumes")
    print(f"{'training step':20s}{step:8.1f} examples/s")


if __name__ == "__main__":
    define_flags(ModelConfig, __name__)
    define_flags(TrainConfig, __name__)
    flags.DEFINE_float("seconds", 10.0, "Time to measure each pipeline for.", lower_bound=0.1)
    flags.DEFINE_integer("rounds", 5, "Training steps to time.", lower_bound=1)
    app.run(main)
