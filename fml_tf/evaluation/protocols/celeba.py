"""Photometric error on CelebA (Liu et al., ICCV 2015): Table 4 of the paper's supplemental."""

import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from fml_tf.evaluation.model_sizes import TruncatedModels
from fml_tf.evaluation.predictions import Frame, Prediction
from fml_tf.evaluation.predictors import Method, ModelPredictor
from fml_tf.evaluation.protocols.base import Case, Measure, Protocol, Score
from fml_tf.evaluation.protocols.layouts import require_file
from fml_tf.files.images import read_image

PARTITIONS = ("train", "validation", "test")  # 0, 1, 2 in list_eval_partition.txt
PARTITION_LIST = "list_eval_partition.txt"
BOX_LIST, ALIGNED_LANDMARK_LIST = "list_bbox_celeba.txt", "list_landmarks_align_celeba.txt"
WILD, ALIGNED = "img_celeba", "img_align_celeba"
NUM_PICTURES = 1000
# Width of a detector's box about a face, over the distance from between the eyes to the mouth.
_BOX_WIDTH = 2.4


class CelebA(Protocol):
    """See `Protocol`. A case is a picture of the test partition.

    The pictures are drawn at random by the seed: the paper does not say which its thousand are.

    Layout under `root`: that of CelebA's download, with `Img/`, `Anno/` and `Eval/` or without
    these folders, its uncropped pictures `img_celeba` or else `img_align_celeba`; or TFDS's
    `celeb_a`, prepared.

    Args:
      root: the folder; for TFDS its data_dir.
      seed: of the choice.

    Raises:
      FileNotFoundError: no pictures, or no list of partitions.
      ValueError: a list that cannot be read, or no picture in the test partition.
    """

    name = "celeba"
    template_region = None
    measures = (
        Measure("euclidean", "RGB", "mean Euclidean distance of the colours, channels in [0, 255]"),
        Measure("photometric", "RGB", "mean absolute difference of the channels, [0, 255]"),
    )

    def __init__(self, root: str, seed: int):
        self._source = _open(pathlib.Path(root))
        self._seed = seed
        self._names = self._choose("test")
        if not self._names:
            raise ValueError(f"{root}: CelebA's test partition holds no picture")
        self.settings = {
            "layout": self._source.layout,
            "pictures": len(self._names),
            "choice": seed,
        }

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return dict.fromkeys(self._names, 1)

    def load(self, name: str) -> Case:
        """See `Protocol.load`; there is no truth but the picture."""
        return Case(name, [self._source.frame(name)], None)

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`.

        Raises:
          ValueError: a mesh without colours, from a file.
        """
        del case, frames
        if prediction.fit is None:
            raise ValueError("CelebA compares colours: meshes from files cannot be scored")
        (distance,) = prediction.fit.photometric_distance
        (error,) = prediction.fit.photometric_error
        figures = {"euclidean": float(distance), "photometric": float(error)}
        return Score(figures, np.zeros(0), None)

    def model_methods(
        self, predictor: ModelPredictor, num_frames: Sequence[int | None]
    ) -> list[Method]:
        """See `Protocol.model_methods`: models of several sizes (supplemental, Table 4).

        Raises:
          ValueError: more than one frame asked for, or too few faces found.
        """
        if list(num_frames) != [1]:
            raise ValueError("--num_frames: CelebA has one picture of each case")
        return TruncatedModels(predictor, self.training_pictures()).methods()

    def training_pictures(self) -> Sequence[Frame]:
        """As many pictures of the training partition, read when they are asked for."""
        return _Pictures(self._source, self._choose("train"))

    def _choose(self, partition):
        names = self._source.names(partition)
        rng = np.random.default_rng([self._seed, PARTITIONS.index(partition)])
        return sorted(rng.choice(names, min(NUM_PICTURES, len(names)), replace=False).tolist())


class _Pictures(Sequence):
    def __init__(self, source, names):
        self._source, self._names = source, names

    def __len__(self):
        return len(self._names)

    def __getitem__(self, index):
        return self._source.frame(self._names[index])


class _Source(typing.Protocol):
    """Where the pictures come from."""

    layout: str

    def names(self, partition: str) -> list[str]:
        """Of all pictures of a partition."""

    def frame(self, name: str) -> Frame:
        """Reads one."""


class _Folder:
    """CelebA's own folders."""

    def __init__(self, images: pathlib.Path, root: pathlib.Path):
        self._images, self.layout = images, images.name
        partitions = _read_list(_find(root, "Eval", PARTITION_LIST), 1, has_head=False)
        self._partitions = {name: int(number) for name, (number,) in partitions.items()}
        boxed = images.name == WILD
        list_name = BOX_LIST if boxed else ALIGNED_LANDMARK_LIST
        rows = _read_list(_find(root, "Anno", list_name), 4 if boxed else 10, has_head=True)
        self._boxes = {
            name: tuple(row[:2] + [row[0] + row[2], row[1] + row[3]]) if boxed else face_box(row)
            for name, row in rows.items()
        }

    def names(self, partition):
        number = PARTITIONS.index(partition)
        return [name for name, other in self._partitions.items() if other == number]

    def frame(self, name):
        image = read_image(self._images / name)
        return Frame(pathlib.Path(name).stem, image, box=self._boxes.get(name))


class _Tfds:
    """TFDS's `celeb_a`, which has the aligned pictures; named PARTITION/NUMBER in its order."""

    layout = "tfds"

    def __init__(self, builder):
        self._builder = builder

    def names(self, partition):
        count = self._builder.info.splits[partition].num_examples
        return [f"{partition}/{number:06d}" for number in range(count)]

    def frame(self, name):
        partition, number = name.split("/")
        part = f"{partition}[{int(number)}:{int(number) + 1}]"
        (example,) = tfds.as_numpy(self._builder.as_dataset(split=part))
        marks = example["landmarks"]
        sides = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        row = [float(marks[f"{side}_{axis}"]) for side in sides for axis in "xy"]
        return Frame(name, example["image"], box=face_box(row))


def face_box(points: Sequence[float]) -> tuple[float, float, float, float]:
    """A square about a face, as a detector draws it, from CelebA's five landmarks.

    Args:
      points: x, y of both eyes, the nose and the mouth's corners, px.

    Returns:
      (left, top, right, bottom) px.
    """
    points = np.reshape(points, (5, 2)).astype(float)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    half = _BOX_WIDTH * np.linalg.norm(eyes - mouth) / 2.0
    (left, top), (right, bottom) = (eyes + mouth) / 2.0 - half, (eyes + mouth) / 2.0 + half
    return float(left), float(top), float(right), float(bottom)


def _open(root) -> _Source:
    folders = [root / "Img" / WILD, root / WILD, root / "Img" / ALIGNED, root / ALIGNED]
    for folder in folders:
        if folder.is_dir():
            return _Folder(folder, root)
    if (root / "celeb_a").is_dir():
        builder = tfds.builder("celeb_a", data_dir=root)
        if builder.data_path.exists():
            return _Tfds(builder)
    looked = ", ".join(folder.relative_to(root).as_posix() for folder in folders)
    raise FileNotFoundError(f"{root}: no pictures of CelebA: none of {looked}, nor TFDS's celeb_a")


def _find(root, folder, name):
    inside = root / folder / name
    return inside if inside.is_file() else require_file(root / name, "a list of CelebA")


def _read_list(path, columns, has_head):
    """Rows of numbers by the pictures' names; a head is a count and the columns' names."""
    rows = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in filter(str.strip, lines[2:] if has_head else lines):
        name, *values = line.split()
        try:
            rows[name] = [float(value) for value in values]
        except ValueError:
            values = []
        if len(values) != columns:
            raise ValueError(f"{path}: expected a name and {columns} numbers, got {line!r}")
    return rows
