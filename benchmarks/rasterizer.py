"""Time of rasterising a head, beside tensorflow-graphics' own op and the machine's floor.

The op is compiled from the sources in its wheel (`tools/compile_tfg_rasterizer.py`); it is C++ that
walks over the triangles one by one. The floor is the traffic that no rasteriser can avoid, at the
measured bandwidth: corners and indices of the triangles read, the fragments written.

    python -m benchmarks.rasterizer --template_resolution=60k
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import machine
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.framebuffer import clip_coordinates
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.template.loading import load_template
from tools.compile_tfg_rasterizer import compile_rasterizer

DISTANCE_MM = 1200.0
FOCAL_LENGTH_CROPS = 4.5
FLOAT_BYTES = 4


def measure(resolution: str, size: int, rounds: int) -> None:
    """Prints the times of one resolution of the template in a crop of size × size."""
    template = load_template("makehuman", resolution)
    camera = PerspectiveCamera(FOCAL_LENGTH_CROPS * size, size, size)
    vertices = tf.constant(template.mean_shape - np.float32([0, 0, DISTANCE_MM]))
    triangles = tf.constant(template.triangles)
    clip = clip_coordinates(vertices, camera, DISTANCE_MM / 2, DISTANCE_MM * 2)
    op = tf.load_op_library(str(compile_rasterizer()))

    @tf.function
    def ours():
        return rasterize(vertices, triangles, camera)

    @tf.function
    def theirs():
        return op.rasterize_triangles(clip, triangles, size, size, 1, 0)

    seconds = machine.interleave(
        {
            "ours": lambda: ours().depth.numpy(),
            "theirs": lambda: theirs()[0].numpy(),
            **machine.probes(),
        },
        rounds,
    )
    limits = machine.limits(seconds)
    num_triangles = len(template.triangles)
    floats = num_triangles * (3 + 9) + size * size * (1 + 3 + 1)
    floor = limits.floor_seconds(bytes_moved=FLOAT_BYTES * floats)
    own, peer = np.median(seconds["ours"]), np.median(seconds["theirs"])
    covered = np.mean(ours().triangle_ids.numpy() >= 0)
    print(
        f"{template.num_vertices} vertices, {num_triangles} triangles, {size}², "
        f"{100 * covered:.0f} % covered, {rounds} rounds; {limits}\n"
        f"  ours                 {1e3 * own:7.2f} ms (best {1e3 * seconds['ours'].min():.2f})\n"
        f"  tensorflow-graphics  {1e3 * peer:7.2f} ms (best {1e3 * seconds['theirs'].min():.2f}); "
        f"peer / ours {peer / own:.2f}\n"
        f"  floor                {1e3 * floor:7.2f} ms; floor / ours {floor / own:.3f}",
        flush=True,
    )


def main(argv):
    """Measures what the flags give."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    measure(flags.FLAGS.template_resolution, flags.FLAGS.size, flags.FLAGS.rounds)


if __name__ == "__main__":
    flags.DEFINE_enum(
        "template_resolution", "60k", ["4k", "16k", "60k"], "About this many vertices."
    )
    flags.DEFINE_integer("size", 240, "Width and height of the crop, pixels.", lower_bound=1)
    flags.DEFINE_integer("rounds", 15, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
