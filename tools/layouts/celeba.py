r"""Makes a folder in CelebA's layout from pictures of synthetic people.

    python -m tools.layouts.celeba --output_dir=celeba --people=200
    python evaluate.py --dataset=celeba --data_dir=celeba --checkpoint=... --output_dir=...

`Img/img_celeba` holds the uncropped pictures, `Img/img_align_celeba` the same aligned by the eyes
to 178 x 218 px, `Anno` boxes, landmarks and identities, `Eval` the partition: of the people the
first three quarters are for training, the last eighth for the test. No two pictures are of one
person. It is easier than CelebA, whose pictures no one may pass on.
"""

import pathlib

import cv2
import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.protocols.celeba import (
    ALIGNED,
    ALIGNED_LANDMARK_LIST,
    BOX_LIST,
    PARTITION_LIST,
    WILD,
)
from fml_tf.files.atomic import write_image, write_text
from fml_tf.files.folders import output_directory
from fml_tf.synthesis.generator import FrameSettings
from fml_tf.synthesis.workers import available_processes, generate

_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_HEAD = " ".join(f"{point}_{axis}" for point in _POINTS for axis in "xy")
# In aligned pictures: both eyes' centres and the middle of the mouth, px.
_ALIGNED_SIZE = (178, 218)
_ALIGNED_POINTS = np.array([[69.5, 111.5], [108.5, 111.5], [89.0, 152.0]])


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """CelebA's five [5, 2] of our 66: "left" is the picture's."""
    parts = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*parts, landmarks[30], landmarks[48], landmarks[54]])


def align(picture: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture [218, 178, 3] with eyes and mouth in CelebA's places, and the moved points."""
    source = np.stack([points[0], points[1], points[3:].mean(axis=0)])
    # The similarity z ↦ a z + b of least squares, points as complex numbers.
    unknowns = np.stack([source @ [1, 1j], np.ones(3)], axis=1)
    a, b = np.linalg.lstsq(unknowns, _ALIGNED_POINTS @ [1, 1j], rcond=None)[0]
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    aligned = cv2.warpAffine(
        picture, matrix, _ALIGNED_SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return aligned, points @ matrix[:, :2].T + matrix[:, 2]


def main(_) -> None:
    """Writes the folder, whole or not at all."""
    with one_line_errors("celeba layout"), output_directory(flags.FLAGS.output_dir) as root:
        write_layout(root)


def write_layout(root: pathlib.Path) -> None:
    """Writes pictures and lists."""
    count = flags.FLAGS.people
    for folder in (f"Img/{WILD}", f"Img/{ALIGNED}", "Anno", "Eval"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    boxes, wild, aligned, identities, partition = [], [], [], [], []
    settings = FrameSettings(num_frames=1, seed=flags.FLAGS.seed)
    people = generate(settings, range(count), 1, available_processes())
    for index, (example,) in tqdm(people, total=count, unit="picture"):
        name = f"{index + 1:06d}.jpg"
        picture = cv2.imdecode(np.frombuffer(example["frames"][0], np.uint8), cv2.IMREAD_COLOR_RGB)
        write_image(root / "Img" / WILD / name, picture)
        landmarks = example["true_landmarks"][0].astype(float)
        points = five_points(landmarks)
        smaller, moved = align(picture, points)
        write_image(root / "Img" / ALIGNED / name, smaller)
        (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
        boxes.append(_row(name, [left, top, right - left, bottom - top]))
        wild.append(_row(name, points.ravel()))
        aligned.append(_row(name, moved.ravel()))
        identities.append(_row(name, [index + 1]))
        eighth = 8 * index // count
        partition.append(_row(name, [0 if eighth < 6 else eighth - 5]))
    for list_name, head, rows in (
        (BOX_LIST, "image_id x_1 y_1 width height", boxes),
        ("list_landmarks_celeba.txt", _HEAD, wild),
        (ALIGNED_LANDMARK_LIST, _HEAD, aligned),
    ):
        write_text(root / "Anno" / list_name, f"{count}\n{head}\n" + "".join(rows))
    write_text(root / "Anno" / "identity_CelebA.txt", "".join(identities))
    write_text(root / "Eval" / PARTITION_LIST, "".join(partition))


def _row(name, values):
    return f"{name} {' '.join(str(round(value)) for value in values)}\n"


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
    flags.DEFINE_integer("people", 200, "How many pictures.", lower_bound=8)
    flags.DEFINE_integer("seed", 4, "Other people than those of synthetic_faces, which has 0.")
    app.run(main)
