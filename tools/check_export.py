"""Proves an export in an environment that has TensorFlow alone: nothing of this project is there.

    python tools/check_export.py exports/fml/1 reference.npz

Loads the SavedModel by `tf.saved_model.load` and into a TF1 session, which is how TensorFlow
Serving loads it, and compares all signatures with the eager model's answers that
`write_export_reference.py` wrote. Exits with code 1 where they differ by more than 1e-4 (beyond
float32's own resolution of the value).
"""

import collections
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

TOLERANCE = 1e-4
VISIBLE_SHARE = 1e-3
RESOLUTION = 2.0**-22  # four units in the last place of float32
TAKES_FRAMES = ("serving_default", "reconstruct", "identity", "image_bytes")


def load_with_tf2(directory):
    """The signatures as functions of arrays, by `tf.saved_model.load`."""
    loaded = tf.saved_model.load(directory)

    def function(signature):
        def call(inputs):
            outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
            return {name: value.numpy() for name, value in outputs.items()}

        call.loaded = loaded  # holds the variables
        return call

    return {name: function(signature) for name, signature in loaded.signatures.items()}


def load_with_tf1(directory):
    """The same, from a TF1 session, fed without checks of shape as in TensorFlow Serving."""
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph)
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], directory)

    def function(signature):
        run = session._make_callable_from_options(
            config_pb2.CallableOptions(
                feed=[info.name for info in signature.inputs.values()],
                fetch=[info.name for info in signature.outputs.values()],
            )
        )
        return lambda inputs: dict(
            zip(signature.outputs, run(*(inputs[name] for name in signature.inputs)))
        )

    return {
        name: function(signature)
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith("__")
    }


def read_cases(path):
    """The cases of a file of `write_export_reference.py`: arrays by name, by case."""
    cases = collections.defaultdict(dict)
    for name, values in np.load(path).items():
        case, key = name.split("/", 1)
        cases[case][key] = values
    return dict(cases)


def requests(case):
    """Signature, inputs and expected outputs of all requests that a case makes."""
    frames, mask = {"frames": case["frames"]}, {"frame_mask": case["frame_mask"]}
    files = {"image_bytes": case["image_bytes"].astype(object)}
    expected = {
        prefix: {
            name.split("/")[1]: values for name, values in case.items() if name.startswith(prefix)
        }
        for prefix in ("all/", "masked/")
    }
    for name in TAKES_FRAMES:
        inputs = files if name == "image_bytes" else frames
        yield name, inputs, expected["all/"]
        yield name + "_masked", inputs | mask, expected["masked/"]
    parameters = ("shape", "albedo", "rotation", "translation", "expression", "illumination")
    yield "geometry", {name: expected["all/"][name] for name in parameters}, expected["all/"]


def deviation(values, expected):
    """Largest deviation beyond what float32 resolves at the value; of bools, the share."""
    if values.shape != expected.shape:
        return np.inf
    if values.dtype == bool:
        return np.mean(values != expected)
    expected = np.float64(expected)
    return max(0.0, np.max(np.abs(values - expected) - RESOLUTION * np.abs(expected)))


def main(directory, reference):
    """Compares and prints the largest deviation of each output; returns the exit code."""
    cases = read_cases(reference)
    worst = collections.defaultdict(float)
    for load in (load_with_tf2, load_with_tf1):
        start = time.perf_counter()
        functions = load(directory)
        print(f"{load.__name__}: {len(functions)} signatures, {time.perf_counter() - start:.1f} s")
        for case in cases.values():
            for signature, inputs, expected in requests(case):
                for name, values in functions[signature](inputs).items():
                    worst[name] = max(worst[name], deviation(values, expected[name]))
    for name, value in worst.items():
        print(f"{name:20s} {value:.1e}")
    # A vertex that turns to the camera just now may count as visible or not.
    visible = worst.pop("visible")
    largest = max(worst.values())
    print(f"{len(cases)} cases ({', '.join(cases)}): largest deviation {largest:.1e}")
    if not (largest <= TOLERANCE and visible <= VISIBLE_SHARE):
        print(f"more than {TOLERANCE} (visible: {VISIBLE_SHARE})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
