"""Time of one reconstruction (frames to shaded faces), beside its floor, measured in one run.

The floor is the least that an implementation needs here: the networks' bare forward pass (measured)
and one read of Θs, Θa and the expression basis at the measured bandwidth. The decoder's arithmetic
and the traffic of its vertex arrays are not in it.

    python -m benchmarks.reconstruction --template_resolution=60k
    python -m benchmarks.reconstruction --template_resolution=60k --num_frames=4
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import machine
from benchmarks.train_step import FLOAT_BYTES, random_batch
from fml_tf.config import ModelConfig, define_flags, from_flags
from fml_tf.models.building import build_model
from fml_tf.models.reconstructor import FaceReconstructor


def basis_traffic(model: FaceReconstructor) -> int:
    """Bytes of Θs, Θa and the expression basis: a reconstruction reads each once."""
    learned = sum(number for name, number in model.count_weights().items() if "basis" in name)
    return int(FLOAT_BYTES * (learned + np.prod(model.expression_basis.basis.shape)))


def measure(config: ModelConfig, num_frames: int, rounds: int) -> None:
    """Prints time and floor of reconstructing one person from M frames."""
    model = build_model(config)
    batch = random_batch(config, 1, num_frames)
    graph = tf.function(lambda: model(batch.frames, batch.frame_mask), autograph=False)
    networks = tf.function(lambda: model.encode(batch.frames, batch.frame_mask), autograph=False)
    seconds = machine.interleave(
        {
            "graph": lambda: graph().colours.numpy(),
            "eager": lambda: model(batch.frames, batch.frame_mask).colours.numpy(),
            "networks": lambda: networks().rotation.numpy(),
            **machine.probes(),
        },
        rounds,
    )
    limits = machine.limits(seconds)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    floor = median["networks"] + limits.floor_seconds(bytes_moved=basis_traffic(model))
    print(
        f"{model.template.num_vertices} vertices, |β| = {config.albedo_size}, "
        f"width {config.network_width:g}, M = {num_frames}, {rounds} rounds; {limits}\n"
        f"  one tf.function  {1e3 * median['graph']:7.1f} ms; "
        f"floor / measured {floor / median['graph']:.2f}\n"
        f"  eager            {1e3 * median['eager']:7.1f} ms\n"
        f"  networks         {1e3 * median['networks']:7.1f} ms, forward\n"
        f"  floor            {1e3 * floor:7.1f} ms",
        flush=True,
    )


def main(argv):
    """Measures the configuration that the flags give."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    measure(from_flags(ModelConfig, flags.FLAGS), flags.FLAGS.num_frames, flags.FLAGS.rounds)


if __name__ == "__main__":
    define_flags(ModelConfig, __name__)
    flags.DEFINE_integer("num_frames", 1, "M, frames of the person.", lower_bound=1)
    flags.DEFINE_integer("rounds", 25, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
