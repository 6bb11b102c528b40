"""What the readers of published layouts share: files that must be there, landmark files."""

import json
import pathlib
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np

# The parts of a face in the order of iBUG's 68 landmarks, by menpo's names.
_PARTS = ("chin", "leyebrow", "reyebrow", "nose", "leye", "reye", "mouth")


def require_folder(path: pathlib.Path, what: str) -> pathlib.Path:
    """The folder.

    Raises:
      FileNotFoundError: it is not there; says what it should hold.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; it should hold {what}")
    return path


def require_file(path: pathlib.Path, what: str) -> pathlib.Path:
    """The file.

    Raises:
      FileNotFoundError: it is missing; the message says what it is.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {what} is missing")
    return path


def one_file(folder: pathlib.Path, pattern: str, what: str) -> pathlib.Path:
    """The first file of a folder, by name, that fits a pattern.

    Raises:
      FileNotFoundError: there is none.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{folder}/{pattern}: {what} is missing")
    return found[0]


def read_names(path: pathlib.Path, example: str, fits: Callable[[str], bool]) -> list[str]:
    """The names that a file lists, one per line, each once.

    Args:
      path: of the file.
      example: of a name, for messages.
      fits: whether a name has the right form.

    Raises:
      ValueError: it lists none, or one in another form.
    """
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    for name in names:
        if not fits(name):
            raise ValueError(f"{path}: expected names such as {example}, got {name!r}")
    if not names:
        raise ValueError(f"{path}: lists no name such as {example}")
    return list(dict.fromkeys(names))


def read_picked_points(path: pathlib.Path) -> np.ndarray:
    """The points [P, 3] of a file of MeshLab's point picking (.pp, XML), in its order.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file.
    """
    require_file(path, "a landmark file")
    try:
        points = ElementTree.parse(path).getroot().iter("point")
        values = [[float(point.attrib[axis]) for axis in "xyz"] for point in points]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not picked points: {error}") from None
    if not values or not np.isfinite(values).all():
        raise ValueError(f"{path}: holds no finite point")
    return np.array(values)


def read_ljson(path: pathlib.Path) -> np.ndarray:
    """The 68 landmarks [68, 3] of menpo's landmark file, version 2 or 3, in iBUG's order.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file, or not 68 points in space.
    """
    require_file(path, "a landmark file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        (group,) = content["groups"].values() if "groups" in content else [content]
        points = np.array(group["landmarks"]["points"], np.float64)
        parts = {label["label"]: label["mask"] for label in group["labels"]}
        if set(_PARTS) <= set(parts):  # The file may have them in another order.
            points = points[np.concatenate([parts[name] for name in _PARTS])]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: not landmarks of menpo: {error!r}") from None
    if points.shape != (68, 3) or not np.isfinite(points).all():
        raise ValueError(f"{path}: expected 68 finite points, got {points.shape}")
    return points
