"""Time of one training step, beside its floor on this machine, measured in the same rounds.

The floor is the least that an implementation needs here: the networks' bare forward and backward
pass (encoder, identity and parameter network with nothing behind them, measured), and the traffic
of all weights beyond that at the measured bandwidth (`weight_traffic`). The decoder's arithmetic
and the traffic of its vertex arrays are not in it.

    python -m benchmarks.train_step --template_resolution=4k
    python -m benchmarks.train_step --template_resolution=60k
    python -m benchmarks.train_step --flagfile=configs/paper.cfg
"""

import resource
import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import machine
from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.losses.objective import PAPER_WEIGHTS, build_objective
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import NUM_LANDMARKS, MultiFrameBatch
from fml_tf.training.optimizer import FusedAdam
from fml_tf.training.train_step import TrainStep

FLOAT_BYTES = 4
STEPS_TO_PEAK = 10


def random_batch(config: ModelConfig, batch_size: int, num_frames: int) -> MultiFrameBatch:
    """Frames of noise with landmarks anywhere: no time of the step depends on what they show."""
    shape = (batch_size, num_frames)
    random = np.random.default_rng(0)
    size = config.crop_size
    return MultiFrameBatch(
        frames=tf.constant(random.random((*shape, size, size, 3), np.float32)),
        frame_mask=tf.ones(shape, tf.bool),
        landmarks=tf.constant(random.random((*shape, NUM_LANDMARKS, 2), np.float32) * size),
        landmark_confidence=tf.ones((*shape, NUM_LANDMARKS)),
    )


def weight_traffic(model: FaceReconstructor) -> int:
    """Bytes of weights that a step must move beyond the networks' own passes.

    Adam reads and writes each weight and its two moments, 6 floats, and reads its gradient, 1; but
    not that of Θa, which is a product of B columns with B rows. Θs, Θa and the expression basis B
    are each read forward and backward, 2 floats.
    """
    counts = model.count_weights()
    albedo_basis = counts["face_model/albedo_basis"]
    bases = counts["face_model/shape_basis"] + albedo_basis
    bases += np.prod(model.expression_basis.basis.shape)
    return int(FLOAT_BYTES * (7 * sum(counts.values()) - albedo_basis + 2 * bases))


def measure(config: ModelConfig, batch_size: int, num_frames: int, rounds: int) -> None:
    """Prints time and floor of a step of one configuration."""
    model = build_model(config)
    optimizer = FusedAdam(weight.value for weight in model.trainable_weights)
    train_step = TrainStep(model, build_objective(model, PAPER_WEIGHTS), optimizer)
    batch = random_batch(config, batch_size, num_frames)
    rates = dict.fromkeys(model.weight_groups(), tf.constant(1e-4))
    network_weights = [weight.value for weight in model.encoder.trainable_weights]

    @tf.function
    def step():
        return train_step(batch, rates).total

    @tf.function
    def bare_networks():
        with tf.GradientTape() as tape:
            parameters = model.encode(batch.frames, batch.frame_mask)
            total = tf.add_n(
                [tf.reduce_sum(values) for values in tf.nest.flatten(parameters, True)]
            )
        # Returned, so that none is pruned.
        return tape.gradient(total, network_weights)

    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    for _ in range(STEPS_TO_PEAK - 1):
        step()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = machine.interleave(
        {"step": lambda: step().numpy(), "networks": bare_networks, **machine.probes()},
        rounds,
    )
    limits = machine.limits(seconds)
    step_seconds = float(np.median(seconds["step"]))
    network_seconds = float(np.median(seconds["networks"]))
    traffic = weight_traffic(model)
    floor = network_seconds + limits.floor_seconds(bytes_moved=traffic)
    print(
        f"{model.template.num_vertices} vertices, g = {config.shape_size}, "
        f"|β| = {config.albedo_size}, width {config.network_width:g}, "
        f"B = {batch_size}, M = {num_frames}, {rounds} rounds; {limits}\n"
        f"  step      {1e3 * step_seconds:7.0f} ms (best {1e3 * seconds['step'].min():.0f}); "
        f"first, with tracing {first:.1f} s\n"
        f"  memory    {peak_bytes / 2**30:7.2f} GiB, the process's peak in {STEPS_TO_PEAK} steps\n"
        f"  networks  {1e3 * network_seconds:7.0f} ms, forward and backward\n"
        f"  traffic   {traffic / 2**30:7.2f} GiB of weights\n"
        f"  floor     {1e3 * floor:7.0f} ms; floor / measured {floor / step_seconds:.2f}",
        flush=True,
    )


def main(argv):
    """Measures the configuration that the flags give."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    measure(
        from_flags(ModelConfig, flags.FLAGS),
        flags.FLAGS.batch_size,
        flags.FLAGS.num_frames,
        flags.FLAGS.rounds,
    )


if __name__ == "__main__":
    define_flags(ModelConfig, __name__)
    define_flags(TrainConfig, __name__)  # so that a flagfile of train.py fits; most do not matter
    flags.FLAGS.set_default("batch_size", 2)
    flags.DEFINE_integer("rounds", 9, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
