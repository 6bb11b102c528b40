"""Writes a trained model for runtimes other than TensorFlow: ONNX and LiteRT files.

    pip install -e ".[runtimes]"
    python -m fml_tf.serving.runtimes --output_dir=runtimes

`regress` takes `frames` and `frame_mask` and gives the parameters, `geometry` takes the parameters
and gives the face; inputs and outputs are those of docs/serving.md, but no input is checked. The
ONNX files take any B and M, fml.tflite holds both functions for one person with any M.
"""

import os
import pathlib
import tempfile

from fml_tf import quiet  # noqa: F401  # isort: skip

import tensorflow as tf
from absl import app, flags, logging

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import atomic_path, write_bytes
from fml_tf.files.folders import probe_directory
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.serving.signatures import FaceService

_ONNX_OPSET = 17


def _tf2onnx():
    """The converter, which requirements.txt leaves out.

    Raises:
      ImportError: it is not installed.
    """
    # Or each of its optimisers works on a copy of the graph, weights and all.
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    try:
        import tf2onnx
    except ImportError:
        raise ImportError("needs tf2onnx, which the extra `runtimes` installs") from None
    return tf2onnx


def write_onnx(service: FaceService, directory: str | os.PathLike) -> None:
    """Writes regress.onnx and geometry.onnx, for any B and M; needs tf2onnx."""
    tf2onnx = _tf2onnx()
    for name, function in service.without_checks().items():
        with atomic_path(pathlib.Path(directory, f"{name}.onnx")) as path:
            tf2onnx.convert.from_function(
                function, function.input_signature, _ONNX_OPSET, output_path=os.fspath(path)
            )


def write_litert(service: FaceService, directory: str | os.PathLike) -> None:
    """Writes fml.tflite with the signatures `regress` and `geometry`, for B = 1 and any M."""
    signatures = {
        name: function.get_concrete_function()
        for name, function in service.without_checks(num_people=1).items()
    }
    module = tf.Module()
    module.stored = service.variables
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        write_bytes(pathlib.Path(directory, "fml.tflite"), converter.convert())


def main(arguments, options: flags.FlagValues = flags.FLAGS) -> None:
    """Writes all files; one line and exit code 2 say what cannot be used."""
    if logging.get_verbosity() == logging.INFO:  # the level at which converters log each step
        logging.set_verbosity(logging.WARNING)
    with one_line_errors("runtimes", ImportError):
        if arguments[1:]:
            raise ValueError(f"unexpected arguments: {' '.join(arguments[1:])}")
        _tf2onnx()  # before the work of the other files
        directory = probe_directory(options.output_dir)
        service = FaceService(load_model(options.checkpoint))
        directory.mkdir(parents=True, exist_ok=True)
        write_litert(service, directory)
        write_onnx(service, directory)
        print(f"Wrote fml.tflite, regress.onnx and geometry.onnx to {options.output_dir}")


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)
    flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
    app.run(main)
