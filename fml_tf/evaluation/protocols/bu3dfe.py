"""FML's Table 1 on BU-3DFE (Yin et al., FG 2006), as Binghamton University distributes it."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from fml_tf.evaluation.bu3dfe_landmarks import (
    landmarks_of_83,
    read_indexed_points,
    seven_of_83,
)
from fml_tf.evaluation.measures import per_vertex, rms
from fml_tf.evaluation.predictions import Frame, Prediction, Shape
from fml_tf.evaluation.protocols.base import Case, Measure, Protocol, Score
from fml_tf.evaluation.protocols.layouts import one_file, read_names, require_folder
from fml_tf.evaluation.protocols.now import face_crop
from fml_tf.evaluation.protocols.synthetic_faces import in_correspondence
from fml_tf.evaluation.scan_alignment import align_and_measure, error_map
from fml_tf.evaluation.texture_views import split_texture
from fml_tf.files.images import read_image
from fml_tf.files.vrml import TexturedMesh, read_vrml
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.nonrigid_registration import Scan, register
from fml_tf.template.makehuman import load_makehuman

SCAN_LIST = "scans.txt"
CORRESPONDENCE_FOLDER = "correspondence"
# The paper's number; which ones it does not say.
_NUM_SCANS, _SEED = 324, 0
SUBJECTS = [f"F{i:04d}" for i in range(1, 57)] + [f"M{i:04d}" for i in range(1, 45)]
EXPRESSIONS = ["NE00"] + [
    f"{e}{i:02d}" for e in ("AN", "DI", "FE", "HA", "SA", "SU") for i in range(1, 5)
]
# How far from a measured point a scan's vertex still shows its error in pictures, mm.
_SHOWN_WITHIN = 6.0


@dataclasses.dataclass(frozen=True, eq=False)
class ScanTruth:
    """What a scan is scored against.

    Attributes:
      vertices: [V', 3] mm, of the scan.
      triangles: [F', 3].
      seven: [7, 3] landmarks on it.
      points: [V, 3] where the vertices of the "4k" template lie on it; NaN where none does.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    seven: np.ndarray
    points: np.ndarray


class Bu3dfe(Protocol):
    """See `Protocol`. A case is one scan, its frames the two photographs of its texture.

    Layout under `root`, for scan F0001_AN01 of a subject of race WH: `F0001/F0001_AN01WH_F3D.wrl`
    (mm), `_F3D.bmp` (its texture: two photographs from about ±45°, side by side), `_F3D.bnd` (83
    points, lines INDEX X Y Z). `scans.txt` may list the scans to take, one per line; without it 324
    of the 2,500 are drawn. Where there is a folder `correspondence`, `F0001_AN01.txt` in it says in
    lines VERTEX X Y Z where vertices of the "4k" template lie on the scan. Without it the template
    is registered, and the main measure is that of the surface: where shape alone does not
    distinguish one place from the next, registered places stay near the mean face's, and favour it.

    Args:
      root: the folder.

    Raises:
      FileNotFoundError: it holds no subject.
      ValueError: the list is empty or names scans of another form.
    """

    name = "bu3dfe"
    template_region = None
    expressive = True

    def __init__(self, root: str):
        self._root = require_folder(pathlib.Path(root), "BU-3DFE's folders F0001 to M0044")
        if not any((self._root / subject).is_dir() for subject in SUBJECTS):
            raise FileNotFoundError(f"{root}: holds none of BU-3DFE's folders F0001 to M0044")
        listing = self._root / SCAN_LIST
        if listing.is_file():
            self._names = read_names(listing, "F0001_AN01", _is_scan)
        else:
            self._names = chosen_scans()
        self._given = (self._root / CORRESPONDENCE_FOLDER).is_dir()
        self.settings = {
            "scans": f"{len(self._names)} of {SCAN_LIST}"
            if listing.is_file()
            else f"{len(self._names)} of seed {_SEED}",
            "correspondence": "given" if self._given else "registered",
        }
        self.measures = _measures(self._given)
        self._registered: dict[str, np.ndarray] = {}

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return {name: 2 for name in self._names}

    def person(self, name: str) -> str:
        """See `Protocol.person`: the subject."""
        return name.split("_")[0]

    def load(self, name: str) -> Case:
        """See `Protocol.load`; the truth is a `ScanTruth`."""
        scan, mesh, landmarks = self._read_scan(name)
        photographs = split_texture(read_image(scan.with_suffix(".bmp")), mesh, landmarks, scan)
        frames = [
            Frame(f"{scan.parent.name}/{name}/{side}", image, box=box)
            for side, (image, box) in enumerate(photographs)
        ]
        if self._given:
            points = read_correspondence(self._root / CORRESPONDENCE_FOLDER / f"{name}.txt")
        else:
            points = self.register(name)
        truth = ScanTruth(mesh.vertices, mesh.triangles, seven_of_83(landmarks), points)
        return Case(name, frames, truth)

    def register(self, name: str) -> np.ndarray:
        """The places [V, 3] of the "4k" template's face on a scan by registration, NaN for none.

        Raises:
          FileNotFoundError, ValueError: as `load`; the template does not come to lie on the scan.
        """
        if name not in self._registered:
            _, mesh, landmarks = self._read_scan(name)
            self._registered[name] = registered_correspondence(mesh, landmarks)
        return self._registered[name]

    def _read_scan(self, name):
        scan = one_file(self._root / name.split("_")[0], f"{name}??_F3D.wrl", "the scan")
        mesh = read_vrml(scan)
        _, landmarks = read_indexed_points(scan.with_suffix(".bnd"))
        if len(landmarks) != 83:
            raise ValueError(f"{scan.with_suffix('.bnd')}: {len(landmarks)} points, not 83")
        return scan, mesh, landmarks

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`: the face with each frame's expression; the mean over the frames."""
        shapes = [prediction.expressive(m) for m in range(len(frames))]
        scores = [_score_shape(case.truth, shape, self._given) for shape in shapes]
        figures = {
            name: float(np.mean([score.figures[name] for score in scores]))
            for name in scores[0].figures
        }
        distances = np.concatenate([score.distances for score in scores])
        return Score(figures, distances, scores[0].error_map)


def _measures(given):
    """Main measure first: per vertex, where the correspondence is not our own."""
    favours = "" if given else "; registered places favour our mean face"
    vertices = (
        Measure("per_vertex", "mm", f"per-vertex RMSE after similarity alignment{favours}"),
        Measure("per_vertex_rigid", "mm", f"the same after rigid alignment: size counts{favours}"),
    )
    surface = Measure("surface", "mm", "mean distance of the scan to the face after ICP with scale")
    return (*vertices, surface) if given else (surface, *vertices)


def read_correspondence(path: pathlib.Path) -> np.ndarray:
    """The places [V, 3] of the "4k" template's face on a scan; NaN where the file has none.

    Raises:
      FileNotFoundError: no such file.
      ValueError: lines of another form than VERTEX X Y Z, or less than half of the face.
    """
    template = load_makehuman("4k")
    indices, places = read_indexed_points(path)
    if indices.min() < 0 or indices.max() >= template.num_vertices:
        raise ValueError(f"{path}: vertices outside of 0..{template.num_vertices - 1}")
    points = np.full((template.num_vertices, 3), np.nan)
    points[indices] = places
    face = template.regions["face"]
    points[~face] = np.nan
    placed = np.isfinite(points).all(axis=1).sum()
    if placed < face.sum() / 2:
        raise ValueError(
            f"{path}: only {placed} of the face's {face.sum()} vertices; is the file cut short?"
        )
    return points


def registered_correspondence(mesh: TexturedMesh, landmarks: np.ndarray) -> np.ndarray:
    """As `read_correspondence`, by registration with the 83 landmarks [83, 3].

    Raises:
      ValueError: the template does not come to lie on the scan.
    """
    template = load_makehuman("4k")
    marks, places = landmarks_of_83(landmarks)
    return register(
        template.mean_shape,
        template.triangles,
        template.regions["face"],
        Scan(mesh.vertices, mesh.triangles),
        (template.landmark_vertices[marks], places),
    )


def _score_shape(truth: ScanTruth, shape: Shape, shows_vertices: bool) -> Score:
    """`shows_vertices`: distances and picture are those of `per_vertex`, where the shape has it."""
    measured = face_crop(truth.vertices, truth.seven)
    scan = truth.vertices, truth.triangles
    surface, distances, picture = align_and_measure(*scan, measured, truth.seven, shape)
    figures = {"surface": surface}
    if in_correspondence(shape):
        known = np.isfinite(truth.points).all(axis=1)
        ours, theirs = shape.vertices[: len(known)][known], truth.points[known]
        away = per_vertex(ours, theirs)
        figures["per_vertex"] = rms(away)
        figures["per_vertex_rigid"] = rms(per_vertex(ours, theirs, with_scale=False))
        if shows_vertices:
            errors = _on_scan(away, theirs, truth.vertices)
            picture = error_map(*scan, errors, procrustes(ours, theirs), shape)
            distances = away
    return Score(figures, distances, picture)


def _on_scan(distances, points, vertices):
    """Errors [V'] at a scan's vertices: of the nearest measured points, NaN far from all."""
    away, nearest = cKDTree(points).query(vertices, 3)
    weights = 1.0 / (away + 0.1)
    errors = (weights * distances[nearest]).sum(axis=1) / weights.sum(axis=1)
    return np.where(away[:, 0] < _SHOWN_WITHIN, errors, np.nan)


def chosen_scans() -> list[str]:
    """The 324 of the 2,500 scans that are scored where no list says otherwise.

    Drawn from the names, so that it does not depend on which files exist.
    """
    names = [f"{subject}_{expression}" for subject in SUBJECTS for expression in EXPRESSIONS]
    rng = np.random.default_rng(_SEED)
    return [names[i] for i in sorted(rng.choice(len(names), _NUM_SCANS, replace=False))]


def _is_scan(name):
    subject, _, expression = name.partition("_")
    return subject in SUBJECTS and expression in EXPRESSIONS
