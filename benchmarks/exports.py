"""Size, load time, latency and rounding errors of exports, in one process and without a server.

    for dtype in float32 bfloat16 float16; do
      python export.py --checkpoint=quickstart --export_dir=exports/$dtype/1 --dtype=$dtype
    done
    python -m benchmarks.exports exports/float32/1 exports/bfloat16/1 exports/float16/1

The requests are the export's warm-up requests: one person with one frame.
"""

import functools
import json
import pathlib
import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags

from benchmarks import machine
from benchmarks.serving import warmup_requests
from fml_tf.serving.exporting import MODEL_FILE
from tools.export.check import load_with_tf1

SIGNATURES = ("image_bytes", "geometry", "reconstruct")


def main(arguments):
    """Prints a paragraph for each export."""
    directories = arguments[1:]
    if not directories:
        raise app.UsageError("name one or more exports: NAME/VERSION")
    loading, calls = {}, {}
    for directory in directories:
        start = time.perf_counter()
        functions = load_with_tf1(directory)
        loading[directory] = time.perf_counter() - start
        requests = warmup_requests(directory)
        for name in SIGNATURES:
            calls[directory, name] = functools.partial(functions[name], requests[name])
    seconds = machine.interleave(calls, flags.FLAGS.rounds)
    for directory in directories:
        path = pathlib.Path(directory)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        description = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
        errors = description["bases_rounding"]
        latency = ", ".join(
            f"{name} {1e3 * np.median(seconds[directory, name]):.1f} ms" for name in SIGNATURES
        )
        print(
            f"{directory}: {size / 1e6:.0f} MB, loaded in {loading[directory]:.1f} s\n"
            f"  {latency}\n"
            f"  bases in {description['bases_dtype']} cost, mean and largest: "
            f"{errors['vertex_error_mm_mean']:.2g}, {errors['vertex_error_mm_max']:.2g} mm; "
            f"{errors['albedo_error_rgb_mean']:.2g}, {errors['albedo_error_rgb_max']:.2g} of 255"
        )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 25, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
