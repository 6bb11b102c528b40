"""Draws what a trained model makes of held-out synthetic people.

One block a person, one column a frame; rows: input, overlay, albedo, shading, geometry.

  python -m tools.drawing.reconstructions --output=reconstructions.jpg
"""

import itertools

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags

from datasets import synthetic_faces
from fml_tf.command_line import one_line_errors
from fml_tf.data.batches import evaluation_examples
from fml_tf.files.atomic import write_image
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.training.summaries import picture_sheet

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)
_DATA = flags.DEFINE_string("data", "quickstart", "Configuration of synthetic_faces.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_PEOPLE = flags.DEFINE_integer("people", 2, "How many people, side by side.", lower_bound=1)
_FIRST = flags.DEFINE_integer("first", 0, "The first of them in the test split.", lower_bound=0)
_NUM_FRAMES = flags.DEFINE_integer("num_frames", 4, "M, frames per person.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "Picture to write (PNG or JPEG).", required=True)


def main(_):
    """Draws the sheet that the flags describe."""
    with one_line_errors("reconstructions"):
        write_image(_OUTPUT.value, draw())


def draw() -> np.ndarray:
    """The sheet [rows, columns, 3] uint8."""
    model = load_model(_CHECKPOINT.value)
    builder = synthetic_faces.build(_DATA_DIR.value, _DATA.value)
    examples = evaluation_examples(builder, "test", _NUM_FRAMES.value)
    chosen = itertools.islice(examples, _FIRST.value, _FIRST.value + _PEOPLE.value)
    sheets = [picture_sheet(model, batch) for batch, _ in chosen]
    if not sheets:
        raise ValueError(f"--first={_FIRST.value}: the test split has fewer people")
    return np.concatenate(sheets, axis=1)


if __name__ == "__main__":
    app.run(main)
