"""Draws multi-frame images of a prepared data set with their landmarks, for the eye to check.

One row a multi-frame image. A landmark is green where its confidence is 1 and red where it is 0.

Example:

  python -m tools.draw_contact_sheet --data=data/video_faces/my_videos-1a2b3c4d/1.0.0 \
      --output=sheet.png
"""

import cv2
import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags

_DATA = flags.DEFINE_string(
    "data", None, "Folder of a prepared data set, with its version.", required=True
)
_SPLIT = flags.DEFINE_string("split", "train", "Split to show.")
_ROWS = flags.DEFINE_integer("rows", 8, "How many multi-frame images, from the split's start.")
_ZOOM = flags.DEFINE_integer("zoom", 1, "Pixels a crop pixel.")
_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)


def draw_landmarks(
    crop: np.ndarray, landmarks: np.ndarray, confidence: np.ndarray, zoom: int
) -> np.ndarray:
    """Draws landmarks [66, 2] px on a crop [S, S, 3] uint8: [zoom·S, zoom·S, 3]."""
    picture = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    for (u, v), sure in zip(landmarks * zoom, confidence, strict=True):
        colour = (255 * (1 - float(sure)), 255 * float(sure), 0)
        cv2.circle(picture, (int(u), int(v)), max(1, zoom), colour, -1, cv2.LINE_AA)
    return picture


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
    if not cv2.imwrite(_OUTPUT.value, np.concatenate(rows)[..., ::-1]):
        raise OSError(f"{_OUTPUT.value}: cannot be written")


if __name__ == "__main__":
    app.run(main)
