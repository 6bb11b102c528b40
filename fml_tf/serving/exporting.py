"""Writes a model as a version folder that TensorFlow Serving loads."""

import dataclasses
import os
import pathlib

import tensorflow as tf

from fml_tf.files.atomic import write_json, write_text
from fml_tf.files.folders import checked_tensorflow_dir, probe_directory, staging_directory
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.serving.precision import rounding_errors
from fml_tf.serving.signatures import INPUTS, OUTPUTS, FaceService
from fml_tf.serving.warmup import (
    WARMUP_FILE,
    example_inputs,
    mean_face_crop,
    write_warmup_requests,
)

DTYPES = ("float32", "bfloat16", "float16")
MODEL_FILE = os.path.join("assets.extra", "model.json")
SIGNATURES_FILE = os.path.join("assets.extra", "signatures.md")

_CONVENTIONS = """Lengths are in mm, colours are sRGB with 1 as white. Model space: x to the
person's left, y up, z out of the face. Camera space: x right, y up, the camera at the origin
looking along -z. Crop px: u right, v down, the origin is the outer corner of the top-left pixel, so
that the first pixel's centre is (0.5, 0.5). camera = R model + t; u = S/2 + f x/(-z),
v = S/2 - f y/(-z), with f = S times `focal_length` of model.json.

A colour is albedo times the sum of γ_b H_b(n) over b = 0 ... 8, of the unit normal n = (x, y, z) in
camera space; the H_b are the real spherical harmonics with these normalisations, in this order:
0.282095, 0.488603 y, 0.488603 z, 0.488603 x, 1.092548 xy, 1.092548 yz, 0.315392 (3z² - 1),
1.092548 xz, 0.546274 (x² - y²).

The 66 landmarks are iBUG's 68 without the inner mouth corners (60 and 64, counted from 0), in
iBUG's order. Left and right are the person's: 0-16 contour from the right ear over the chin to the
left, 17-21 right brow, 22-26 left brow, 27-30 nose bridge, 31-35 nostrils, 36-41 right eye, 42-47
left eye, 48-59 outer lips, 60-65 inner lips."""


def check_export_dir(directory: str | os.PathLike) -> pathlib.Path:
    """The folder to write as an absolute path, if a version may be written there.

    Raises:
      ValueError: its name is not a version number or is one of `checked_tensorflow_dir`, it exists
        already, or the folder above cannot be written to.
    """
    directory = pathlib.Path(os.path.abspath(checked_tensorflow_dir(directory)))
    if not (directory.name.isascii() and directory.name.isdigit()):
        raise ValueError(
            f"{directory}: TensorFlow Serving loads numbered versions; end the path with a number, "
            "as in exports/fml/1"
        )
    if os.path.lexists(directory):
        raise ValueError(f"{directory}: this version exists already; choose another number")
    return probe_directory(directory.parent) / directory.name


def export_model(
    model: FaceReconstructor, directory: str | os.PathLike, dtype: str = "float32"
) -> dict[str, float]:
    """Writes `directory`, whole or not at all.

    Args:
      model: the model.
      directory: NAME/VERSION, as TensorFlow Serving wants it.
      dtype: of the stored bases, one of `DTYPES`.

    Returns:
      What `rounding_errors` says of the stored bases.

    Raises:
      ValueError: see `check_export_dir` and `FaceService`.
    """
    directory = check_export_dir(directory)
    service = FaceService(model, dtype)
    signatures = service.signatures()
    # Nothing but these variables goes into the file, each once: no Keras object, no optimiser.
    module = tf.Module(name="fml")
    module.stored = service.variables
    errors = rounding_errors(model, dtype)
    # Its name is no number: a server that watches the parent folder passes over it.
    with staging_directory(directory.parent) as folder:
        written = folder / directory.name
        tf.saved_model.save(
            module,
            os.fspath(written),
            signatures,
            tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        (written / "assets.extra").mkdir()
        requests = example_inputs(model, mean_face_crop(model))
        write_warmup_requests(written / WARMUP_FILE, requests, directory.parent.name)
        write_text(written / SIGNATURES_FILE, describe(signatures))
        description = dataclasses.asdict(model.config)
        description["template_hash"] = model.template.content_hash()
        description["bases_dtype"] = dtype
        description["bases_rounding"] = errors
        write_json(written / MODEL_FILE, description)
        os.rename(written, check_export_dir(directory))
    return errors


def describe(signatures: dict) -> str:
    """All signatures with their inputs and outputs, shapes, units and axes, as Markdown."""
    lines = ["# Signatures", "", _CONVENTIONS, ""]
    for name, function in signatures.items():
        lines += [f"## {name}", "", "| | name | shape | dtype | meaning |", "|---|---|---|---|---|"]
        inputs = [
            (tensor.op.name, tensor)
            for tensor in function.inputs[: len(function.inputs) - len(function.captured_inputs)]
        ]
        for kind, tensors, meanings in (
            ("in", inputs, INPUTS),
            ("out", function.structured_outputs.items(), OUTPUTS),
        ):
            for key, tensor in tensors:
                axes, meaning = (text.replace("|", r"\|") for text in meanings[key])
                shape = ", ".join("?" if n is None else str(n) for n in tensor.shape)
                lines.append(
                    f"| {kind} | `{key}` | {axes} = [{shape}] | {tensor.dtype.name} | {meaning} |"
                )
        lines.append("")
    return "\n".join(lines)
