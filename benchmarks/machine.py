"""What this machine can do: fp32 GEMM and memory bandwidth, in TensorFlow.

Other benchmarks take their floors from here, measured in the same rounds as what they time:

    rounds = interleave({"step": step, **machine.probes()}, num_rounds=5)
    limits = machine.limits(rounds)
    floor = limits.floor_seconds(flops, bytes_moved)
    print(floor / np.median(rounds["step"]))

Alone: `python -m benchmarks.machine`.
"""

import dataclasses
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

# Large enough for the GEMM's peak, and far outside any cache for the bandwidth.
GEMM_SIZE = 2048
STREAM_BYTES = 128 * 2**20


@dataclasses.dataclass(frozen=True)
class MachineLimits:
    """Peak rates, measured.

    Attributes:
      gemm_flops: fp32 matrix products, FLOP/s (a multiply-add counts two).
      bandwidth: bytes/s read and written by an element-wise operation on large arrays.
    """

    gemm_flops: float
    bandwidth: float

    def floor_seconds(self, flops=0.0, bytes_moved=0.0):
        """Seconds that work of this size takes at least: FLOP and bytes of one phase overlap.

        The floor of phases that follow each other is the sum of theirs.
        """
        return max(flops / self.gemm_flops, bytes_moved / self.bandwidth)

    def __str__(self):
        return f"GEMM {self.gemm_flops / 1e9:.0f} GFLOP/s · memory {self.bandwidth / 1e9:.1f} GB/s"


def interleave(cases, num_rounds):
    """Times each case once per round, so that the drift of a shared machine affects all equally.

    Args:
      cases: {name: function of no arguments}. Each runs once before, untimed. A function whose
        work is asynchronous has to wait for it itself.
      num_rounds: number of rounds.

    Returns:
      {name: [num_rounds] float64 seconds}.
    """
    for case in cases.values():
        case()
    seconds = {name: np.empty(num_rounds) for name in cases}
    for i in range(num_rounds):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            seconds[name][i] = time.perf_counter() - start
    return seconds


def probes():
    """The two cases that `limits` reads, to be timed with `interleave` beside one's own."""
    a = tf.random.stateless_uniform([GEMM_SIZE, GEMM_SIZE], [0, 0])
    b = tf.random.stateless_uniform([GEMM_SIZE, GEMM_SIZE], [0, 1])
    # In place: a fresh tensor a round would time the operating system handing out pages.
    source = tf.random.stateless_uniform([STREAM_BYTES // 4], [0, 2])
    target = tf.Variable(tf.zeros_like(source))

    @tf.function
    def gemm():
        return tf.linalg.matmul(a, b)[0, 0]

    @tf.function
    def stream():
        target.assign_add(source)
        return target[0]

    return {"gemm": lambda: gemm().numpy(), "stream": lambda: stream().numpy()}


def limits(seconds):
    """Reads `MachineLimits` (medians) from what `interleave` timed of `probes`."""
    return MachineLimits(
        gemm_flops=2 * GEMM_SIZE**3 / float(np.median(seconds["gemm"])),
        # Two arrays read, one written.
        bandwidth=3 * STREAM_BYTES / float(np.median(seconds["stream"])),
    )


def main(argv):
    """Prints the limits of this machine."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    print(limits(interleave(probes(), flags.FLAGS.rounds)))


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 9, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
