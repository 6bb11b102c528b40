"""Proves an export in an environment that has TensorFlow alone: nothing of this project is there.

    python tools/export/check.py exports/fml/1 reference.npz

Loads the SavedModel by `tf.saved_model.load` and into a TF1 session, which is how TensorFlow
Serving loads it, and compares all signatures with the eager model's answers that
`write_reference.py` wrote; of one case also what `saved_model_cli run` writes. Exits with
code 1 where outputs are missing or differ by more than 1e-4 (beyond float32's own resolution of the
value).
"""

import collections
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

# Before TensorFlow is imported: nothing of ours is here to keep it quiet.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

TOLERANCE = 1e-4
VISIBLE_SHARE = 1e-3
RESOLUTION = 2.0**-22  # four units in the last place of float32
# What is made of the parameters, whatever these are: that depends on the system.
OF_PEOPLE = ("neutral_vertices", "vertex_albedo", "triangles")
OF_FRAMES = ("model_vertices", "camera_vertices", "colours", "positions", "visible", "landmarks")
FACES = (*OF_PEOPLE, *OF_FRAMES, "camera_landmarks")
TAKES_FRAMES = ("serving_default", "reconstruct", "identity", "image_bytes")
CLI_SIGNATURES = ("image_bytes", "reconstruct", "reconstruct_masked", "identity", "geometry")
CLI_CASE = "B3M2"


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
    """The cases of a file of `write_reference.py`: arrays by name, by case."""
    cases = collections.defaultdict(dict)
    for name, values in np.load(path).items():
        case, key = name.split("/", 1)
        cases[case][key] = values
    return dict(cases)


def requests(case):
    """Signature, inputs and all expected outputs of the requests that a case makes."""
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
        yield name, inputs, owed(name, expected["all/"])
        yield name + "_masked", inputs | mask, owed(name, expected["masked/"])
    parameters = {name: v for name, v in expected["all/"].items() if name not in FACES}
    yield "geometry", parameters, owed("geometry", expected["all/"])


def owed(signature, answers):
    """Those of all answers that a signature gives."""
    parameters = [name for name in answers if name not in FACES]
    of_a_person = [name for name in parameters if answers[name].ndim == 2]
    names = {
        "reconstruct": answers,
        "identity": [*of_a_person, "neutral_vertices", "vertex_albedo"],
        "geometry": FACES,
    }.get(signature, parameters)
    return {name: answers[name] for name in names}


def deviation(values, expected, resolution=RESOLUTION):
    """Largest deviation beyond what float32 resolves at the value; of bools, the share.

    Infinite where shapes differ or a value is not finite; with a resolution of 0, all of it.
    """
    if values.shape != expected.shape or not np.isfinite(values).all():
        return np.inf
    if values.dtype == bool:
        return np.mean(values != expected)
    expected = np.float64(expected)
    return np.max(np.abs(values - expected) - resolution * np.abs(expected), initial=0.0)


def load_with_cli(directory):
    """Some of the signatures, each call a run of `saved_model_cli`."""
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")

    def function(signature):
        def call(inputs):
            with tempfile.TemporaryDirectory() as folder:
                for name, values in inputs.items():
                    # It reads no pickled objects; NumPy's own bytes do, as no PNG ends with a zero.
                    values = values.astype(bytes) if values.dtype.hasobject else values
                    np.save(f"{folder}/{name}.npy", values)
                files = ";".join(f"{name}={folder}/{name}.npy" for name in inputs)
                run = subprocess.run(
                    [program, "run", "--dir", directory, "--tag_set", "serve", "--signature_def",
                     signature, "--inputs", files, "--outdir", f"{folder}/outputs"],
                    capture_output=True,
                    text=True,
                )  # fmt: skip
                if run.returncode:
                    raise ValueError(f"saved_model_cli {signature}: {run.stderr.splitlines()[-1]}")
                return {
                    path.stem: np.load(path) for path in pathlib.Path(folder, "outputs").glob("*")
                }

        return call

    return {name: function(name) for name in CLI_SIGNATURES}


def compare(functions, cases):
    """Largest deviations by output, all of it and beyond float32's resolution; [2] each."""
    worst = collections.defaultdict(lambda: np.zeros(2))
    for case in cases:
        for signature, inputs, expected in requests(case):
            if signature not in functions:
                continue
            outputs = functions[signature](inputs)
            if set(outputs) != set(expected):
                raise ValueError(
                    f"{signature}: {sorted(set(outputs) ^ set(expected))} too few or many"
                )
            for name, values in outputs.items():
                found = [deviation(values, expected[name], r) for r in (0.0, RESOLUTION)]
                worst[name] = np.maximum(worst[name], found)
    return worst


def main(arguments):
    """Compares and prints the largest deviations of each output; returns the exit code."""
    if len(arguments) != 2:
        return "usage: check.py NAME/VERSION REFERENCE.npz"
    directory, reference = arguments
    try:
        cases = read_cases(reference)
        worst = {}
        for load, used in (
            (load_with_tf2, cases.values()),
            (load_with_tf1, cases.values()),
            (load_with_cli, [cases[CLI_CASE]]),
        ):
            start = time.perf_counter()
            functions = load(directory)
            loaded = time.perf_counter() - start
            print(f"{load.__name__}: {len(functions)} signatures, {loaded:.1f} s", flush=True)
            for name, values in compare(functions, used).items():
                worst[name] = np.maximum(worst.get(name, 0.0), values)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        return f"check.py: {str(error).splitlines()[0]}"
    # A vertex that turns to the camera just now may count as visible or not.
    visible = worst.pop("visible")[0]
    print(f"{'visible':20s} {visible:.1e} of the vertices")
    print(f"{'':20s} deviation  beyond 4 units in the last place")
    for name, (whole, beyond) in worst.items():
        print(f"{name:20s} {whole:.1e}    {beyond:.1e}")
    whole, beyond = np.max(list(worst.values()), axis=0)
    print(f"{len(cases)} cases ({', '.join(cases)}): largest deviation {whole:.1e}, {beyond:.1e}")
    if not (beyond <= TOLERANCE and visible <= VISIBLE_SHARE):
        return f"more than {TOLERANCE} (visible: {VISIBLE_SHARE})"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
