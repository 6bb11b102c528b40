"""Accuracy and speed of the model in other runtimes, beside TensorFlow's in the same run.

    python export.py --checkpoint=quickstart --export_dir=exports/fml/1
    python -m fml_tf.serving.runtimes --checkpoint=quickstart --output_dir=runtimes
    python -m tools.export.write_reference --checkpoint=quickstart --output=reference.npz
    python -m benchmarks.runtimes --model_dir=exports/fml/1 --runtimes_dir=runtimes \
      --reference=reference.npz

Deviations are from the eager model, the largest over the cases of the reference that a file takes;
times are medians of one person with one frame, all runtimes with one thread per core.
"""

import functools
import os
import time
from collections.abc import Callable

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import onnxruntime
import openvino
from absl import app, flags
from ai_edge_litert.interpreter import Interpreter

from benchmarks import machine
from tools.export.check import PARAMETERS, RESOLUTION, deviation, load_with_tf1, read_cases

LITERT = "LiteRT"
Function = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def load_onnxruntime(path: str) -> Function:
    """An ONNX file in ONNX Runtime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def load_openvino(path: str) -> Function:
    """An ONNX file, or a SavedModel's `serving_default`, in OpenVINO with float32 arithmetic."""
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
    return lambda inputs: {output.any_name: value for output, value in model(inputs).items()}


def load_litert(path: str, name: str) -> Function:
    """A signature of a LiteRT file in LiteRT's interpreter."""
    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner(name)
    return lambda inputs: runner(**inputs)


def load_all(model_dir: str, runtimes_dir: str) -> dict[tuple[str, str], Function]:
    """All functions by name and runtime; prints what loading takes."""
    functions = {}

    def add(name, runtime, load, *arguments):
        start = time.perf_counter()
        functions[name, runtime] = load(*arguments)
        print(f"{name:15s} {runtime:21s} loaded in {time.perf_counter() - start:.1f} s")

    start = time.perf_counter()
    signatures = load_with_tf1(model_dir)
    print(f"TensorFlow, all signatures: loaded in {time.perf_counter() - start:.1f} s")
    functions["serving_default", "TensorFlow"] = signatures["serving_default"]
    add("serving_default", "OpenVINO (SavedModel)", load_openvino, model_dir)
    functions["regress", "TensorFlow"] = signatures["serving_default_masked"]
    functions["geometry", "TensorFlow"] = signatures["geometry"]
    litert_file = os.path.join(runtimes_dir, "fml.tflite")
    for name in ("regress", "geometry"):
        onnx_file = os.path.join(runtimes_dir, f"{name}.onnx")
        add(name, "ONNX Runtime", load_onnxruntime, onnx_file)
        add(name, "OpenVINO (ONNX)", load_openvino, onnx_file)
        add(name, LITERT, load_litert, litert_file, name)
    return functions


def requests(case: dict[str, np.ndarray]) -> dict[str, tuple[dict, dict]]:
    """Inputs and the eager model's outputs by function."""
    everyone, masked = (
        {name.removeprefix(prefix): v for name, v in case.items() if name.startswith(prefix)}
        for prefix in ("all/", "masked/")
    )
    frames = {"frames": case["frames"]}
    return {
        "serving_default": (frames, everyone),
        "regress": (frames | {"frame_mask": case["frame_mask"]}, masked),
        "geometry": ({name: everyone[name] for name in PARAMETERS}, everyone),
    }


def largest_deviation(
    function: Function, cases: list[tuple[dict, dict]], resolution: float
) -> tuple[float, str]:
    """The largest deviation of an output other than `visible`, and that output's name."""
    return max(
        (deviation(values, expected[name], resolution), name)
        for inputs, expected in cases
        for name, values in function(inputs).items()
        if name != "visible"
    )


def main(arguments):
    """Prints deviations and times."""
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    options = flags.FLAGS
    functions = load_all(options.model_dir, options.runtimes_dir)
    cases = {name: requests(case) for name, case in read_cases(options.reference).items()}
    single = cases["B1M1"]
    seconds = machine.interleave(
        {
            key: functools.partial(function, single[key[0]][0])
            for key, function in functions.items()
        },
        options.rounds,
    )
    for (name, runtime), function in functions.items():
        one_person = runtime == LITERT  # its file takes no more
        used = [v[name] for case, v in cases.items() if not one_person or case.startswith("B1M")]
        whole, output = largest_deviation(function, used, 0.0)
        beyond, output_beyond = largest_deviation(function, used, RESOLUTION)
        print(
            f"{name:15s} {runtime:21s} {1e3 * np.median(seconds[name, runtime]):7.1f} ms; "
            f"{len(used)} cases: largest deviation {whole:.1e} ({output}), beyond 4 units in the "
            f"last place {beyond:.1e} ({output_beyond})"
        )


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Export: NAME/VERSION.", required=True)
    flags.DEFINE_string("runtimes_dir", None, "Folder of fml_tf.serving.runtimes.", required=True)
    flags.DEFINE_string("reference", None, "Of tools.export.write_reference.", required=True)
    flags.DEFINE_integer("rounds", 25, "Rounds of each measurement.", lower_bound=1)
    app.run(main)
