"""FML's Table 2 and the 250-Hz paper's Table 1 on FaceWarehouse (Cao et al., TVCG 2014)."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from fml_tf.evaluation.clay_landmarks import clay_landmarks
from fml_tf.evaluation.predictions import SEVEN, Frame, Prediction
from fml_tf.evaluation.protocols.base import Case, Measure, Protocol, Score
from fml_tf.evaluation.protocols.layouts import read_names, require_file, require_folder
from fml_tf.evaluation.protocols.now import face_crop
from fml_tf.evaluation.scan_alignment import align_and_measure, every_few
from fml_tf.files.images import read_image
from fml_tf.files.meshes import read_mesh
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.template.makehuman import load_makehuman

TESTER_LIST = "testers.txt"
NUM_POSES, NUM_BLENDSHAPES = 20, 46
# The papers' number; which ones they do not say.
_NUM_TESTERS, _ALL_TESTERS, _SEED = 9, 150, 0
# Outer corner to outer corner of an adult's eyes, roughly; it determines the unit.
_EYES_MM = 90.0
# A vertex is of the face if the aligned template's face is its nearest part, not further away.
_REGION_REACH_MM = 10.0


@dataclasses.dataclass(frozen=True, eq=False)
class Tester:
    """What all meshes of a tester share.

    Attributes:
      neutral: [V, 3] mm, of `shape.bs`.
      triangles: [F, 3].
      unit_mm: of the files.
      seven: [7] vertices at the seven landmarks.
      face: [V] bool, the vertices that are measured.
    """

    neutral: np.ndarray
    triangles: np.ndarray
    unit_mm: float
    seven: np.ndarray
    face: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class PoseTruth:
    """What a picture is scored against: the tester, and the mesh's vertices [V, 3] mm."""

    tester: Tester
    vertices: np.ndarray


class FaceWarehouse(Protocol):
    """See `Protocol`. A case is one mesh with its one picture.

    Layout under `root`: `Tester_N/TrainingPose/pose_K.obj`, K from 0 to 19, with `pose_K.png`, and
    `Tester_N/Blendshape/shape.bs`, whose first shape is the tester's neutral face; all meshes of
    one topology. `testers.txt` may list the testers to take, one per line; without it 9 of the 150
    are drawn. The files' unit, a power of ten of mm, follows from the distance of the eyes.

    Args:
      root: the folder.

    Raises:
      FileNotFoundError: it holds no tester.
      ValueError: the list is empty or names testers in another form.
    """

    name = "facewarehouse"
    template_region = None
    expressive = True
    measures = (
        Measure("surface", "mm", "mean distance of the true face with expression to ours"),
        Measure("neutral", "mm", "the same of the neutral faces; not of meshes from outside"),
    )

    def __init__(self, root: str):
        self._root = require_folder(pathlib.Path(root), "FaceWarehouse's folders Tester_N")
        if not any(self._root.glob("Tester_*")):
            raise FileNotFoundError(f"{root}: holds none of FaceWarehouse's folders Tester_N")
        listing = self._root / TESTER_LIST
        if listing.is_file():
            self._testers = read_names(listing, "Tester_1", _is_tester)
        else:
            self._testers = chosen_testers()
        origin = TESTER_LIST if listing.is_file() else f"seed {_SEED}"
        self.settings = {"testers": f"{len(self._testers)} of {origin}"}
        self._tester = functools.lru_cache(maxsize=4)(self._read_tester)

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return {f"{name}/pose_{k}": 1 for name in self._testers for k in range(NUM_POSES)}

    def person(self, name: str) -> str:
        """See `Protocol.person`: the tester."""
        return name.split("/")[0]

    def load(self, name: str) -> Case:
        """See `Protocol.load`; the truth is a `PoseTruth`."""
        tester_name, pose = name.split("/")
        tester = self._tester(tester_name)
        path = self._root / tester_name / "TrainingPose" / f"{pose}.obj"
        mesh = read_mesh(require_file(path, "the mesh"))
        if len(mesh.vertices) != len(tester.neutral):
            raise ValueError(
                f"{path}: {len(mesh.vertices)} vertices, but {len(tester.neutral)} in shape.bs"
            )
        if not np.array_equal(mesh.faces, tester.triangles):
            raise ValueError(f"{path}: other faces than pose_0.obj; is the file cut short?")
        image = read_image(require_file(path.with_suffix(".png"), "the picture"))
        vertices = tester.unit_mm * np.asarray(mesh.vertices)
        return Case(name, [Frame(name, image)], PoseTruth(tester, vertices))

    def _read_tester(self, name):
        folder = self._root / name
        path = folder / "Blendshape" / "shape.bs"
        neutral, num_polygons = read_neutral(path)
        first = require_file(folder / "TrainingPose" / "pose_0.obj", "the mesh")
        mesh = read_mesh(first)
        with first.open(encoding="utf-8", errors="replace") as file:
            counts = len(mesh.vertices), sum(line.startswith("f ") for line in file)
        if counts != (len(neutral), num_polygons):
            raise ValueError(
                f"{first}: {counts[0]} vertices and {counts[1]} polygons, but {len(neutral)} and "
                f"{num_polygons} in shape.bs"
            )
        triangles = np.asarray(mesh.faces)
        try:
            seven = clay_landmarks(neutral, triangles, DlibLandmarkDetector())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        eyes = np.linalg.norm(neutral[seven[0]] - neutral[seven[3]])
        unit = 10.0 ** np.round(np.log10(_EYES_MM / eyes))
        return Tester(
            unit * neutral, triangles, unit, seven, _face(unit * neutral, triangles, seven)
        )

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`: the face with the picture's expression; ours also without."""
        del frames  # A case has one.
        tester, truth = case.truth.tester, case.truth
        surface, distances, picture = align_and_measure(
            truth.vertices,
            tester.triangles,
            tester.face,
            truth.vertices[tester.seven],
            prediction.expressive(0),
        )
        figures = {"surface": surface}
        if prediction.fit is not None:
            figures["neutral"], _, _ = align_and_measure(
                tester.neutral,
                tester.triangles,
                tester.face,
                tester.neutral[tester.seven],
                prediction.shape,
            )
        return Score(figures, distances, picture)


def _face(neutral, triangles, seven):
    """Which vertices of a tester's mesh [V, 3] mm are the face, by the template's: [V] bool."""
    template = load_makehuman("4k")
    surface = Surface(template.mean_shape, template.triangles)
    points = neutral[face_crop(neutral, neutral[seven])]
    marks = template.mean_shape[template.landmark_vertices][SEVEN]
    fit = fit_surface(surface, points[every_few(points)], procrustes(marks, neutral[seven]))
    closest = surface.closest(fit.apply_inverse(neutral))
    on_face = template.regions["face"][template.triangles[closest.triangles]].all(axis=1)
    return on_face & (fit.scale * closest.distances < _REGION_REACH_MM)


def read_neutral(path: pathlib.Path) -> tuple[np.ndarray, int]:
    """The first shape [V, 3] of a `shape.bs`, in its unit, and the number of polygons.

    The file has little-endian int32 counts of blendshapes, vertices and polygons (46, 11510,
    11400), then the float32 vertices of the neutral face and of each blendshape.

    Raises:
      FileNotFoundError: no such file.
      ValueError: other counts, a length that does not fit them, or values that are not finite.
    """
    require_file(path, "the tester's blendshapes")
    with path.open("rb") as file:
        counts = np.fromfile(file, "<i4", 3)
        if len(counts) < 3 or counts[0] != NUM_BLENDSHAPES or counts[1] < 1:
            raise ValueError(f"{path}: counts {counts.tolist()}; the first of three should be 46")
        num_vertices, num_polygons = map(int, counts[1:])
        expected = 12 + 12 * num_vertices * (NUM_BLENDSHAPES + 1)
        if path.stat().st_size != expected:
            raise ValueError(f"{path}: {path.stat().st_size} bytes, but {expected} by its counts")
        neutral = np.fromfile(file, "<f4", 3 * num_vertices).reshape(-1, 3).astype(np.float64)
    if not np.isfinite(neutral).all():
        raise ValueError(f"{path}: holds values that are not finite")
    return neutral, num_polygons


def chosen_testers() -> list[str]:
    """The nine of the 150 testers that are scored where no list says otherwise."""
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(_ALL_TESTERS, _NUM_TESTERS, replace=False)
    return [f"Tester_{number + 1}" for number in sorted(chosen)]


def _is_tester(name):
    prefix, _, number = name.partition("_")
    return prefix == "Tester" and number.isdecimal()
