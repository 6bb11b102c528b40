"""The NoW challenge (Sanyal et al., CVPR 2019; now.is.tue.mpg.de), in its layout and protocol."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from fml_tf.evaluation.measures import point_to_point
from fml_tf.evaluation.predictions import Frame, Prediction
from fml_tf.evaluation.protocols.base import Case, ErrorMap, Measure, Protocol, Score
from fml_tf.evaluation.protocols.layouts import (
    one_file,
    read_picked_points,
    require_file,
    require_folder,
)
from fml_tf.files.images import read_image
from fml_tf.files.meshes import read_mesh
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface
from fml_tf.template.flame import unpickle_arrays

IMAGE_LIST, TEST_IMAGE_LIST = "imagepathsvalidation.txt", "imagepathstest.txt"
_RELEASE = pathlib.Path("NoW_Dataset", "final_release_version")
_IMAGES, _BOXES = _RELEASE / "iphone_pictures", _RELEASE / "detected_face"
_SCANS, _LANDMARKS = pathlib.Path("scans"), pathlib.Path("scans_lmks_onlypp")
# The crop of the scan: a ball about a point 0.3 of the way from below the nose to between the
# eyes, of 1.4 times the mean of the outer eye corners' distance and that of the two points.
_CENTRE, _RADIUS = 0.3, 1.4


class NowChallenge(Protocol):
    """See `Protocol`. A case is one challenge of one subject, its frames the listed pictures.

    Layout under `root`: `imagepathsvalidation.txt` with lines SUBJECT/CHALLENGE/IMAGE.jpg; the
    pictures under `NoW_Dataset/final_release_version/iphone_pictures` and, where they exist,
    face boxes `.npy` under `.../detected_face`; `scans/SUBJECT/*.obj` in mm;
    `scans_lmks_onlypp/SUBJECT/*.pp` with seven points.

    The scans of the challenge's test subjects are not given out: their pictures
    (`imagepathstest.txt`) can be predicted, for a submission, but not scored here.

    Args:
      root: the folder.
      metrical: the metrical variant: nothing is scaled.
      test: the pictures to hand in; no case gets a figure.

    Raises:
      FileNotFoundError: no list of pictures, or no scans.
      ValueError: the list has lines of another form.
    """

    name = "now"
    template_region = None

    def __init__(self, root: str, metrical: bool = False, test: bool = False):
        self._root, self._metrical, self._test = pathlib.Path(root), metrical, test
        list_name = TEST_IMAGE_LIST if test else IMAGE_LIST
        listing = require_file(self._root / list_name, "the list of pictures")
        if not test:
            require_folder(self._root / _SCANS, "SUBJECT/*.obj")
        self.settings = {"metrical": metrical, "pictures": list_name}
        aligned = "rigid alignment" if metrical else "alignment with scale"
        self.measures = (
            Measure("mean", "mm", f"mean distance of the scan to the face after {aligned}"),
            Measure("median", "mm", "median of these distances"),
            Measure("sd", "mm", "their standard deviation"),
        )
        self._pictures: dict[str, list[str]] = {}
        for line in filter(None, map(str.strip, listing.read_text().splitlines())):
            parts = line.split("/")
            if len(parts) < 3:
                raise ValueError(f"{listing}: expected SUBJECT/CHALLENGE/IMAGE.jpg, got {line!r}")
            self._pictures.setdefault("/".join(parts[-3:-1]), []).append(parts[-1])

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return {name: len(pictures) for name, pictures in self._pictures.items()}

    def subset(self, name: str) -> str:
        """See `Protocol.subset`: the challenge."""
        return name.split("/")[1]

    def person(self, name: str) -> str:
        """See `Protocol.person`: the subject."""
        return name.split("/")[0]

    def load(self, name: str) -> Case:
        """See `Protocol.load`; the truth is the scan's mesh and the seven landmarks."""
        frames = []
        for picture in self._pictures[name]:
            path = pathlib.Path(name, picture)
            image = read_image(self._root / _IMAGES / path)
            box = read_box((self._root / _BOXES / path).with_suffix(".npy"))
            frames.append(Frame(str(path.with_suffix("")), image, box=box))
        return Case(name, frames, None if self._test else self._read_scan(name))

    def _read_scan(self, name):
        subject = name.split("/")[0]
        landmarks = read_picked_points(
            one_file(self._root / _LANDMARKS / subject, "*.pp", "the scan's landmarks")
        )
        if len(landmarks) != 7:
            raise ValueError(f"{name}: the scan has {len(landmarks)} landmarks, not 7")
        scan = read_mesh(one_file(self._root / _SCANS / subject, "*.obj", "the scan"))
        return np.asarray(scan.vertices), np.asarray(scan.faces), landmarks

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`: the neutral shape counts."""
        del frames  # All pictures of a case have one truth.
        if case.truth is None:
            return Score({}, np.zeros(0), None)
        vertices, triangles, landmarks = case.truth
        inside = face_crop(vertices, landmarks)
        shape = prediction.shape
        with_scale = not self._metrical
        surface = Surface(shape.vertices, shape.triangles)
        points = vertices[inside]
        initial = procrustes(shape.seven, landmarks, with_scale=with_scale)
        fit = fit_surface(surface, points, initial, with_scale=with_scale, robust=False)
        distances = fit.scale * point_to_point(fit.apply_inverse(points), surface)
        errors = np.full(len(vertices), np.nan)
        errors[inside] = distances
        return Score(
            {
                "mean": float(distances.mean()),
                "median": float(np.median(distances)),
                "sd": float(distances.std()),
            },
            distances,
            ErrorMap(
                vertices,
                triangles,
                errors,
                fit.apply(shape.vertices),
                shape.triangles,
                fit.apply(shape.seven),
            ),
        )


def face_crop(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Which vertices [V, 3] of a scan the challenge measures, by its seven landmarks: [V] bool.

    Raises:
      ValueError: fewer than a hundred lie in the crop: scan and landmarks do not fit.
    """
    between_eyes = (landmarks[1] + landmarks[2]) / 2.0
    below_nose = landmarks[4]
    centre = below_nose + _CENTRE * (between_eyes - below_nose)
    eyes = np.linalg.norm(landmarks[0] - landmarks[3])
    nose = np.linalg.norm(between_eyes - below_nose)
    inside = np.linalg.norm(vertices - centre, axis=1) <= _RADIUS * (eyes + nose) / 2.0
    if inside.sum() < 100:
        raise ValueError(f"only {inside.sum()} vertices of the scan lie about its landmarks")
    return inside


def read_box(path: pathlib.Path) -> tuple[float, float, float, float] | None:
    """Reads a face box, a pickled dictionary in a `.npy`: (left, top, right, bottom) px.

    Returns None where there is no such file: the face is then searched for.

    Raises:
      ValueError: the file holds something else.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            box = unpickle_arrays(file, path).item()
        return tuple(float(box[side]) for side in ("left", "top", "right", "bottom"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a face box: {error}") from None
