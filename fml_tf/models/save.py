"""Writes a model to give away, from a training run or from another saved model.

    python -m fml_tf.models.save runs/small models/small --dtype=float16 --licence=Apache-2.0

A run's best model is taken, or with --which=last its last. Runs of version 0.1, which had no saved
models, are converted. `fml_tf.load_model` and all scripts read what is written.
"""

import dataclasses
import os

from fml_tf import quiet  # noqa: F401  # isort: skip

from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.models.old_runs import is_old_run, load_old_run
from fml_tf.models.saving import (
    BEST,
    LAST,
    Description,
    find_model,
    load_model,
    read_description,
    save_model,
)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    flags.DEFINE_enum(
        "dtype",
        "float32",
        ("float32", "float16"),
        "Type that the weights are stored in; model.json says what 16 bits cost.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "which",
        BEST,
        (BEST, LAST),
        "Which of a run's two models to write.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "licence", "", "Licence under which the weights are given away.", flag_values=flag_values
    )


def save(source: str, directory: str, options: flags.FlagValues) -> None:
    """Writes the model of `source` to `directory`.

    Raises:
      FileNotFoundError, ValueError: no model there, or one that cannot be read or stored.
    """
    if os.path.exists(directory):
        raise ValueError(f"{directory}: exists already")
    if is_old_run(source):
        model, description = load_old_run(source), Description()
    else:
        of_run = os.path.join(source, options.which)
        path = find_model(of_run if os.path.isdir(of_run) else source)
        model, description = load_model(path), read_description(path)
    if options.licence:
        description = dataclasses.replace(description, licence=options.licence)
    save_model(model, directory, description, options.dtype)


def main(arguments, options: flags.FlagValues = flags.FLAGS) -> None:
    """Saves; one line and exit code 2 say what cannot be used."""
    with one_line_errors("save"):
        if len(arguments) != 3:
            raise ValueError("give two arguments: a run or a model, and the folder to write")
        save(arguments[1], arguments[2], options)
        print(f"Wrote {arguments[2]}")


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
