r"""Draws a contact sheet of synthetic people, to look at.

    python -m tools.drawing.synthetic_faces --output=sheet.png [--people=30 --layout=frontal]

`frontal` shows each person neutral, from the front, in plain light; `examples` shows a row of M
frames per person, as in the data set, `landmarks` the same with the landmarks drawn in (green is
confident, red is not).
"""

import pathlib

import cv2
import numpy as np
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.synthesis.generator import CROP_SIZE, FaceGenerator, FrameSettings
from fml_tf.synthesis.scene import HeadPose, Light

_OUTPUT = flags.DEFINE_string("output", "synthetic_faces.png", "Picture to write (PNG or JPEG).")
_PEOPLE = flags.DEFINE_integer("people", 30, "How many people.")
_FIRST = flags.DEFINE_integer("first", 0, "Index of the first person.")
_COLUMNS = flags.DEFINE_integer("columns", 6, "Tiles, or people's rows, side by side.")
_LAYOUT = flags.DEFINE_enum(
    "layout", "examples", ("frontal", "examples", "landmarks"), "See above."
)
_RESOLUTION = flags.DEFINE_enum("resolution", "4k", ("4k", "16k", "60k"), "Of the mesh.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the data set.")


def frontal(generator: FaceGenerator, index: int) -> np.ndarray:
    """One neutral picture [240, 240, 3] uint8 from the front, 1.2 m away."""
    person = generator.person(index)
    pose = HeadPose(np.zeros(3, np.float32), np.array([0, 20, -1200], np.float32))
    key = np.array([0.3, 0.4, 0.87], np.float32)
    light = Light(0.7 * ambient_illumination(), key, np.full(3, 0.4, np.float32))
    camera = PerspectiveCamera(4.9 * CROP_SIZE, CROP_SIZE, CROP_SIZE)
    background = np.full((CROP_SIZE, CROP_SIZE, 3), 0.75, np.float32)
    picture = generator.draw(person, pose, light, camera, background)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def example_row(generator: FaceGenerator, index: int, with_landmarks: bool) -> np.ndarray:
    """The frames of a person's first multi-frame image side by side, [240, 240 M, 3] uint8."""
    example = generator.example(generator.person(index), index, 0)
    tiles = []
    for frame, data in enumerate(example["frames"]):
        tile = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy()
        if with_landmarks:
            confidences = example["landmark_confidence"][frame]
            for point, confidence in zip(example["landmarks"][frame], confidences):
                colour = (255 * float(1 - confidence), 255 * float(confidence), 0)
                cv2.circle(tile, tuple(np.round(point - 0.5).astype(int)), 1, colour, -1)
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


def main(_):
    """Draws the sheet that the flags describe."""
    generator = FaceGenerator(FrameSettings(resolution=_RESOLUTION.value, seed=_SEED.value))
    people = range(_FIRST.value, _FIRST.value + _PEOPLE.value)
    if _LAYOUT.value == "frontal":
        tiles = [frontal(generator, index) for index in people]
    else:
        tiles = [example_row(generator, i, _LAYOUT.value == "landmarks") for i in people]
    columns = min(_COLUMNS.value, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], 1) for k in range(0, len(tiles), columns)]
    sheet = np.concatenate(rows, axis=0)
    with one_line_errors("synthetic_faces"):
        pathlib.Path(_OUTPUT.value).parent.mkdir(parents=True, exist_ok=True)
        write_image(_OUTPUT.value, sheet, jpeg_quality=85)


if __name__ == "__main__":
    app.run(main)
