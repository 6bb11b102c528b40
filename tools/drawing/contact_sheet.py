"""Draws multi-frame images of a prepared data set with their landmarks, for the eye to check.

One row a multi-frame image. A landmark is green where its confidence is 1 and red where it is 0.

Example:

  python -m tools.drawing.contact_sheet --data=data/video_faces/my_videos-1a2b3c4d/1.0.0 \
      --output=sheet.png
"""

import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.preprocessing.pictures import draw_landmarks

_DATA = flags.DEFINE_string(
    "data", None, "Folder of a prepared data set, with its version.", required=True
)
_SPLIT = flags.DEFINE_string("split", "train", "Split to show.")
_ROWS = flags.DEFINE_integer("rows", 8, "How many multi-frame images, from the split's start.")
_ZOOM = flags.DEFINE_integer("zoom", 1, "Pixels a crop pixel.")
_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)


def main(_) -> None:
    """Reads the flags and draws."""
    builder = tfds.builder_from_directory(_DATA.value)
    examples = builder.as_dataset(_SPLIT.value).take(_ROWS.value).as_numpy_iterator()
    rows = [
        np.concatenate(
            [
                draw_landmarks(*frame, _ZOOM.value)
                for frame in zip(
                    example["frames"],
                    example["landmarks"],
                    example["landmark_confidence"],
                    strict=True,
                )
            ],
            axis=1,
        )
        for example in examples
    ]
    with one_line_errors("contact_sheet"):
        write_image(_OUTPUT.value, np.concatenate(rows))


if __name__ == "__main__":
    app.run(main)
