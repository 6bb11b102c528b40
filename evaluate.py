"""Scores a trained model, or any method's meshes, by the protocols of the papers.

Examples:

  python evaluate.py --dataset=synthetic_faces/small --checkpoint=runs/small --num_frames=1,2,4 \
      --output_dir=evaluations/small
  python evaluate.py --dataset=now --data_dir=NoW --checkpoint=runs/small --output_dir=now \
      --save_meshes
  python evaluate.py --dataset=now --data_dir=NoW --predictions=theirs/ --compare=now \
      --output_dir=theirs_now
  python evaluate.py --dataset=now --data_dir=NoW --checkpoint=runs/small \
      --predictions=deca/,emoca/ --output_dir=peers

Writes results.json (every case and figure), results.md, report.html and pictures to the output
folder. A run that was stopped resumes with the same command; docs/evaluation.md describes the
protocols.
"""

import dataclasses
import functools
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata

from fml_tf import quiet  # noqa: F401  # isort: skip

import tensorflow as tf
from absl import app, flags

from datasets import synthetic_faces
from fml_tf import __version__
from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.markdown import markdown
from fml_tf.evaluation.mesh_predictions import MeshPredictor, saving_meshes
from fml_tf.evaluation.predictors import Method, ModelPredictor
from fml_tf.evaluation.protocols.base import Protocol
from fml_tf.evaluation.protocols.bu3dfe import Bu3dfe
from fml_tf.evaluation.protocols.celeba import CelebA
from fml_tf.evaluation.protocols.facewarehouse import FaceWarehouse
from fml_tf.evaluation.protocols.micc import MiccFlorence
from fml_tf.evaluation.protocols.now import NowChallenge
from fml_tf.evaluation.protocols.synthetic_faces import SyntheticFaces
from fml_tf.evaluation.report import write_pictures, write_report
from fml_tf.evaluation.results import collect, compare_results
from fml_tf.evaluation.runner import RESULTS_FILE, open_output, run_cases
from fml_tf.files.atomic import write_json, write_text
from fml_tf.files.folders import probe_directory
from fml_tf.models.saving import load_model, model_hash
from fml_tf.preprocessing.landmark_detectors import LANDMARK_DETECTORS, installed_landmark_detector

_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "trimesh",
    "opencv-python-headless",
    "dlib-bin",
)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    text = functools.partial(flags.DEFINE_string, flag_values=flag_values)
    number = functools.partial(flags.DEFINE_integer, flag_values=flag_values)
    text(
        "dataset",
        None,
        "Protocol: synthetic_faces/CONFIG, bu3dfe, facewarehouse, celeba, micc, now, now/metrical "
        "or now/test.",
    )
    text(
        "checkpoint",
        None,
        "A saved model, or the --output_dir of train.py, whose best model is taken; the model that "
        "ships, if there are no --predictions either.",
    )
    flags.DEFINE_list(
        "predictions",
        [],
        "Folders of other methods' meshes to score, alone or beside a checkpoint's.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "predictions_unit",
        "mm",
        list(_UNITS_MM),
        "Unit of these meshes; it matters where nothing is scaled.",
        flag_values=flag_values,
    )
    text("compare", None, "Compare with the evaluation in this folder, case by case.")
    text("output_dir", None, "Folder to write to.")
    text(
        "data_dir", "data", "Where prepared data sets are kept, or the root of a published layout."
    )
    text("split", "test", "Split of synthetic_faces.")
    flags.DEFINE_list(
        "num_frames",
        ["1"],
        "Values of M to score, such as 1,2,4 or 1,all.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "landmark_detector",
        "auto",
        LANDMARK_DETECTORS,
        "What finds faces and landmarks where a data set has no crops; auto is mediapipe where "
        "LiteRT is installed, else dlib.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "save_meshes",
        False,
        "Keep each predicted mesh and its seven landmarks, as --predictions and NoW want them.",
        flag_values=flag_values,
    )
    number("max_cases", 0, "Score only this many cases, the first; 0 scores all.", lower_bound=0)
    number("seed", 0, "Seed of the bootstrap, the test and the choice of CelebA's pictures.")


def open_protocol(options: flags.FlagValues) -> Protocol:
    """The protocol that --dataset names.

    Raises:
      ValueError: no protocol of that name.
      FileNotFoundError: its data is missing.
    """
    name, _, variant = options.dataset.partition("/")
    match name, variant:
        case "synthetic_faces", _:
            builder = synthetic_faces.build(options.data_dir, variant or "quickstart")
            return SyntheticFaces(builder, options.split)
        case "bu3dfe", "":
            return Bu3dfe(options.data_dir)
        case "celeba", "":
            return CelebA(options.data_dir, options.seed)
        case "facewarehouse", "":
            return FaceWarehouse(options.data_dir)
        case "micc", "":
            return MiccFlorence(options.data_dir)
        case "now", "" | "metrical":
            return NowChallenge(options.data_dir, metrical=variant == "metrical")
        case "now", "test":
            if not options.save_meshes:
                raise ValueError(
                    "--dataset=now/test: has no scans to score against; give --save_meshes"
                )
            return NowChallenge(options.data_dir, test=True)
    raise ValueError(f"--dataset={options.dataset}: no such protocol")


def parse_num_frames(texts: Sequence[str]) -> list[int | None]:
    """The values of --num_frames, ascending, each once; None for "all".

    Raises:
      ValueError: none, or one that is neither a number of 1 or more nor "all".
    """
    numbers = {int(text) for text in texts if text.isdecimal()}
    if not texts or not all(text == "all" or text.isdecimal() for text in texts) or 0 in numbers:
        raise ValueError(f"--num_frames={','.join(texts)}: not numbers of 1 or more, or all")
    return sorted(numbers) + ([None] if "all" in texts else [])


def open_methods(options: flags.FlagValues, protocol: Protocol) -> tuple[list[Method], str]:
    """The methods to score, and the hashes of what they predict with, joined by "+".

    Raises:
      FileNotFoundError, ValueError: a checkpoint or a folder that cannot be used, or M that are no
        numbers.
    """
    num_frames = parse_num_frames(options.num_frames)
    methods, hashes = [], []
    if options.checkpoint or not options.predictions:
        hashes.append(model_hash(options.checkpoint))
        model = load_model(options.checkpoint)
        if model_hash(options.checkpoint) != hashes[0]:
            raise ValueError(
                f"{options.checkpoint}: the model changed while it was read; start again"
            )
        predictor = ModelPredictor(model, options.landmark_detector)
        methods += protocol.model_methods(predictor, num_frames)
    for folder in options.predictions:
        predictor = MeshPredictor(folder, _UNITS_MM[options.predictions_unit])
        hashes.append(predictor.content_hash())
        label = os.path.basename(os.path.abspath(folder))
        for method in predictor.methods(num_frames):
            name = method.name.replace("predictions", label)
            methods.append(dataclasses.replace(method, name=name))
    names = [method.name.replace(" ", "_") for method in methods]  # as of their folders
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--predictions: two methods are named {name}; rename the folder")
    return methods, "+".join(hashes)


def read_results(directory: str, protocol: Protocol) -> dict:
    """The results of another evaluation by the same protocol.

    Raises:
      FileNotFoundError: no evaluation there.
      ValueError: it is of another protocol, or damaged.
    """
    path = os.path.join(directory, RESULTS_FILE)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such results; give the --output_dir of an evaluation")
    with open(path, encoding="utf-8") as file:
        try:
            results = json.load(file)
            theirs = (results["identity"]["dataset"], results["identity"]["settings"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not results of an evaluation: {error!r}") from None
    ours = (protocol.name, dict(protocol.settings))
    if theirs != ours:
        raise ValueError(f"{path}: results of {theirs}, not of {ours}")
    return results


def evaluate(options: flags.FlagValues) -> dict:
    """Scores what the flags name and writes all files.

    Raises:
      FileNotFoundError, ValueError: data, checkpoint or output folder that cannot be used.
    """
    tf.keras.utils.set_random_seed(options.seed)
    tf.config.experimental.enable_op_determinism()
    probe_directory(options.output_dir)
    protocol = open_protocol(options)
    methods, predictor = open_methods(options, protocol)
    identity = {
        "dataset": protocol.name,
        "settings": dict(protocol.settings),
        "predictor": predictor,
        "landmark_detector": installed_landmark_detector(options.landmark_detector),
    }
    compared = options.compare and read_results(options.compare, protocol)
    # What results.json leaves out: it is the same wherever the same data lies.
    origin = {"data_dir": os.path.abspath(options.data_dir), "fml_tf": __version__}
    output_dir = open_output(options.output_dir, identity | origin)
    if options.save_meshes:
        methods = [
            saving_meshes(method, output_dir / "meshes", protocol.expressive) for method in methods
        ]
    names = list(protocol.cases())[: options.max_cases or None]
    write_text(output_dir / "cases.txt", "".join(f"{name}\n" for name in names))
    run_cases(protocol, methods, names, output_dir, options.data_dir)
    result = {
        "identity": identity,
        "seed": options.seed,
        "versions": {
            "fml_tf": __version__,
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in _PACKAGES},
        },
        **collect(protocol, methods, names, output_dir, options.seed),
    }
    write_json(os.path.join(output_dir, RESULTS_FILE), result)
    if compared:
        result["compared"] = compare_results(protocol, result, compared, options.seed)
        result["compared_identity"] = compared["identity"]
        write_json(os.path.join(output_dir, RESULTS_FILE), result)
    text = markdown(protocol, result)
    write_text(output_dir / "results.md", text)
    pictures = write_pictures(protocol, methods, result, output_dir)
    write_report(protocol.name, text, pictures, output_dir)
    print(text)
    return result


def main(argv: Sequence[str], options: flags.FlagValues = flags.FLAGS) -> None:
    """Evaluates; one line says what cannot be used (more with --verbosity=1)."""
    with one_line_errors("evaluate.py"):
        if argv[1:]:
            raise ValueError(f"{argv[1]}: not a flag; all arguments are --flags")
        if not (options.dataset and options.output_dir):
            raise ValueError("give --dataset, a protocol, and --output_dir, a folder to write to")
        evaluate(options)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
