"""Exports a trained model as a SavedModel that TensorFlow Serving loads.

Example:

  python export.py --checkpoint=runs/small --export_dir=exports/fml/1

The last part of --export_dir is the version's number, the one before it the model's name. A version
that exists is never overwritten. docs/serving.md describes the signatures and how to serve them.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import tensorflow as tf
from absl import app, flags, logging

from fml_tf.command_line import one_line_errors
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.serving.exporting import DTYPES, check_export_dir, export_model


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP, flag_values=flag_values)
    flags.DEFINE_string(
        "export_dir",
        None,
        "Folder to write: NAME/VERSION, such as exports/fml/1.",
        flag_values=flag_values,
        required=True,
    )
    flags.DEFINE_enum(
        "dtype",
        "float32",
        DTYPES,
        "Type of the stored shape, albedo and expression bases; all is computed in float32.",
        flag_values=flag_values,
    )


def export(options: flags.FlagValues) -> None:
    """Exports what the flags name.

    Raises:
      FileNotFoundError, ValueError: a checkpoint or folder that cannot be used.
      OSError, tf.errors.OpError: a disk that is full.
    """
    check_export_dir(options.export_dir)
    if logging.get_verbosity() == logging.INFO:  # saving would log each variable's name
        logging.set_verbosity(logging.WARNING)
    errors = export_model(load_model(options.checkpoint), options.export_dir, options.dtype)
    print(
        f"Wrote {options.export_dir}; bases in {options.dtype} cost at most "
        f"{errors['vertex_error_mm_max']:.2g} mm (mean {errors['vertex_error_mm_mean']:.2g}) and "
        f"{errors['albedo_error_rgb_max']:.2g} of 255 (mean {errors['albedo_error_rgb_mean']:.2g})"
    )


def main(arguments, options: flags.FlagValues = flags.FLAGS) -> None:
    """Exports; one line says what cannot be used (more with --verbosity=1)."""
    with one_line_errors("export.py", tf.errors.OpError):
        if arguments[1:]:
            raise ValueError(f"unexpected arguments: {' '.join(arguments[1:])}")
        export(options)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
