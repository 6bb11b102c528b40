"""MICC Florence 3D Faces (Bagdanov et al., 2011) in the protocol of Deep3D (002, section 6.1.2)."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from fml_tf.evaluation.measures import mean, point_and_plane, rms
from fml_tf.evaluation.predictions import SEVEN, Frame, Prediction
from fml_tf.evaluation.protocols.base import Case, ErrorMap, Measure, Protocol, Score
from fml_tf.evaluation.protocols.layouts import one_file, read_ljson, require_folder
from fml_tf.evaluation.textured_scan import find_scan_landmarks, read_textured_scan
from fml_tf.files.images import ImageError, read_image
from fml_tf.files.meshes import read_mesh
from fml_tf.files.video import index_frames, read_chosen_frames
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface, vertex_areas

VIDEOS = ("Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor")
LANDMARK_FOLDER = "MICC_landmarks"
NUM_FRAMES = 30
_SCANS = ("frontal1", "frontal2")
_NOSE_TIP, _CROP_MM = 30, 95.0
# Vertices of the crop that guide the ICP at most, evenly spaced in their order; all are measured.
_FIT_POINTS = 2000


class MiccFlorence(Protocol):
    """See `Protocol`. A case is one video of one subject, its frames 30 evenly spaced ones.

    Layout under `root`: `subject_NN/Model/frontal1/obj/*.obj` in mm with its texture (`frontal2`
    where the first is missing), `subject_NN/Video/NAME.*` with the three names of `VIDEOS`, or a
    folder NAME of the video's frames; and, where the user has them, the landmarks that came with
    GANFit, `MICC_landmarks/subject_NN/Model/frontal1/obj/*.ljson`. Without these, landmarks are
    found in renderings of the scan.

    Args:
      root: the folder.

    Raises:
      FileNotFoundError: no such folder, or no subject in it.
    """

    name = "micc"
    template_region = None
    measures = (
        Measure("plane_rmse", "mm", "point-to-plane RMSE of the scan within 95 mm of the nose tip"),
        Measure("surface", "mm", "mean distance of these points to the surface"),
    )

    def __init__(self, root: str):
        self._root = require_folder(pathlib.Path(root), "subject_NN/Model and subject_NN/Video")
        self._subjects = sorted(path.name for path in self._root.glob("subject_*"))
        if not self._subjects:
            raise FileNotFoundError(f"{root}: holds no subject_NN")
        given = (self._root / LANDMARK_FOLDER).is_dir()
        self.settings = {
            "frames_per_video": NUM_FRAMES,
            "landmarks": "given" if given else "found",
        }

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return {f"{subject}/{video}": NUM_FRAMES for subject in self._subjects for video in VIDEOS}

    def subset(self, name: str) -> str:
        """See `Protocol.subset`: the video."""
        return name.split("/")[1]

    def person(self, name: str) -> str:
        """See `Protocol.person`: the subject."""
        return name.split("/")[0]

    def load(self, name: str) -> Case:
        """See `Protocol.load`; the truth is the scan's mesh and its landmarks [66 or 68, 3]."""
        subject, video = name.split("/")
        frames = [
            Frame(f"{name}/{number:05d}", image)
            for number, image in read_evenly(self._root / subject / "Video", video)
        ]
        return Case(name, frames, self._read_scan(subject))

    def _read_scan(self, subject):
        folders = [pathlib.Path(subject, "Model", scan, "obj") for scan in _SCANS]
        folder = next((f for f in folders if list((self._root / f).glob("*.obj"))), folders[0])
        path = one_file(self._root / folder, "*.obj", "the scan")
        mesh = read_mesh(path)
        marked = sorted((self._root / LANDMARK_FOLDER / folder).glob("*.ljson"))
        if marked:
            landmarks = read_ljson(marked[0])
        else:
            try:
                landmarks = find_scan_landmarks(read_textured_scan(path))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        return np.asarray(mesh.vertices), np.asarray(mesh.faces), landmarks

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`: the neutral shape counts."""
        del frames  # All frames of a case have one truth.
        vertices, triangles, landmarks = case.truth
        inside = np.linalg.norm(vertices - landmarks[_NOSE_TIP], axis=1) <= _CROP_MM
        points = vertices[inside]
        if len(points) < 100:
            raise ValueError(f"only {len(points)} vertices of the scan lie about its nose tip")
        areas = vertex_areas(vertices, triangles)[inside]
        some = slice(None, None, max(1, len(points) // _FIT_POINTS))
        shape = prediction.shape
        surface = Surface(shape.vertices, shape.triangles)
        initial = procrustes(shape.seven, landmarks[SEVEN])
        fit = fit_surface(surface, points[some], initial, areas[some], robust=False)
        distances, to_plane = point_and_plane(fit.apply_inverse(points), surface)
        distances *= fit.scale
        errors = np.full(len(vertices), np.nan)
        errors[inside] = distances
        return Score(
            {
                "plane_rmse": rms(fit.scale * to_plane, areas),
                "surface": mean(distances, areas),
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


def read_evenly(folder: pathlib.Path, video: str) -> list[tuple[int, np.ndarray]]:
    """Reads `NUM_FRAMES` evenly spaced frames of a video file, or of a folder of its frames.

    In a folder, hidden files do not count; what cannot be read is passed over with a warning.

    Returns:
      Their numbers and images [H, W, 3] uint8 RGB; all, where there are fewer.

    Raises:
      FileNotFoundError, ValueError: no such video, or none that can be read.
    """
    pictures = sorted(path for path in (folder / video).glob("[!.]*") if path.is_file())
    if pictures:
        return _read_pictures(pictures)
    path = one_file(folder, f"{video}.*", "the video")
    index = index_frames(path)
    numbers = evenly(len(index.seconds), NUM_FRAMES)
    return [(frame.number, frame.image) for frame in read_chosen_frames(path, index, numbers)]


def _read_pictures(paths: Sequence[pathlib.Path]) -> list[tuple[int, np.ndarray]]:
    frames = []
    for number in evenly(len(paths), NUM_FRAMES):
        try:
            frames.append((number, read_image(paths[number])))
        except ImageError as error:
            logging.warning("skipped: %s", error)
    if not frames:
        raise ValueError(f"{paths[0].parent}: none of its files is a picture that can be read")
    return frames


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of `total` numbers from 0, evenly spaced."""
    return sorted({position * total // count for position in range(count)}) if total else []
