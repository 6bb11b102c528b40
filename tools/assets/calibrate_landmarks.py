r"""Finds where landmark detectors mark our faces, on renderings with known geometry.

    python -m tools.assets.calibrate_landmarks
    python -m tools.assets.build_face_template
    python -m tools.assets.calibrate_landmarks --nomove

It takes a few minutes each time, and writes

- `fml_tf/template/assets/dense_landmarks.npz`: the place of each point of MediaPipe's face mesh on
  the template, and how the detector errs about it;
- `fml_tf/preprocessing/assets/face_mesh_landmarks.npz`: the place of our 66 landmarks on that mesh;
- `tools/assets/detected_landmarks.json`: where dlib puts the 66 on the template. The template's
  builder moves a vertex there, which is why the first two are to be found again after it, and
  this one left alone (`--nomove`).

Each place is a point of a surface: three vertices and their weights. It is the one whose projection
keeps nearest to what the detector says, robustly, over people, poses, expressions and light; all
pictures count with their mirror images, so that the places are symmetric. Places are for faces
within 35 degrees of yaw.

What stays where it was marked by hand: the corners of eyes and mouth, on which the deformation
graph has its nodes, the inner lips' middle, where they meet, and the contour, which slides. The
other points of lids and inner lips stay on their rims.
"""

import itertools
import json
from collections.abc import Sequence

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tqdm
from absl import app, flags

from fml_tf.geometry import topology
from fml_tf.geometry.landmark_order import FROM_68, MIRROR_66
from fml_tf.preprocessing.face_mesh import DenseLandmarkDetector, mesh_topology
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.litert import ASSETS
from fml_tf.template.deformation_graph import pockets
from fml_tf.template.dense_landmarks import ASSET
from fml_tf.template.face_template import NUM_CONTOUR_LANDMARKS, FaceTemplate
from fml_tf.template.makehuman import load_makehuman
from tools.assets import face_template_marks as marks
from tools.assets.error_modes import error_modes
from tools.assets.face_template_geometry import mirror_vertices
from tools.assets.face_template_landmarks import DETECTED, measured_vertices, read_detected
from tools.assets.surface_fit import SurfacePoints, fit_surface_points
from tools.landmark_renderings import FRAMES_PER_PERSON, LANDMARK_PARTS, face_about, render

_PEOPLE = flags.DEFINE_integer("people", 80, "Rendered people, four frames each.", lower_bound=10)
_SEED = flags.DEFINE_integer("seed", 11, "Of the people.")
_MOVE = flags.DEFINE_bool("move", True, f"Write {DETECTED.name}.")
_MAX_YAW = 35.0
# A point of the mesh may lie where triangles of the mean face look forwards at least so much (z of
# their normal), and not behind the ears (mm).
_LEAST_FACING, _BACK_Z = -0.2, -40.0
# What is left of a point's deviation (robust, saturates at 2 mm) if it keeps to one place.
_MAX_DEVIATION = 1.7
# The same for places of the contour on the mesh, which ends before the ears.
_MAX_CONTOUR_DEVIATION = 1.9
# Weights of a vertex that count.
_LEAST_SHARE = 0.03
# What drops with the jaw by more than this share of what the lower lip does is no upper lip; what
# drops by less than the rest of it is no lower one.
_WITH_THE_JAW = 0.7
_KEPT = (36, 39, 48, 62, 66, 67)
_LIDS = (37, 38, 40, 41)
_UPPER_INNER_LIP = (61,)


def gather() -> dict[str, np.ndarray]:
    """Renders and detects; everything in mm in the picture's plane, mirror images after the rest.

    Returns:
      Of n pictures: vertices [2n, V, 2], landmarks [2n, 66, 2], dense [2n, 468, 2] and dlib
      [2n, 66, 2], NaN where nothing was found; and as mm behind the picture's plane depths [2n, V]
      and dense_depths [2n, 468], each from some place.
    """
    detectors = {"dense": DenseLandmarkDetector(), "dlib": DlibLandmarkDetector()}
    template = load_makehuman()
    mirrors = {
        "vertices": mirror_vertices(template.mean_shape),
        "depths": mirror_vertices(template.mean_shape),
        "landmarks": MIRROR_66,
        "dense": mesh_topology()["mirror"],
        "dense_depths": mesh_topology()["mirror"],
        "dlib": MIRROR_66,
    }
    found = {name: [] for name in mirrors}
    pictures = render(_PEOPLE.value, _SEED.value)
    for picture in tqdm.tqdm(pictures, total=FRAMES_PER_PERSON * _PEOPLE.value, mininterval=5):
        if abs(picture.yaw) > _MAX_YAW:
            continue
        found["vertices"].append(picture.mm * picture.positions)
        found["depths"].append(picture.depths)
        found["landmarks"].append(picture.mm * picture.landmarks)
        for name, detector in detectors.items():
            face = face_about(detector.detect(picture.image), picture.landmarks)
            points = np.full((len(mirrors[name]), 3), np.nan)
            if face is not None and name == "dlib":
                points[:, :2] = face.landmarks
            elif face is not None:
                points = face.dense
            found[name].append(picture.mm * points[:, :2])
            if name == "dense":
                found["dense_depths"].append(picture.mm * points[:, 2])
    arrays = {name: np.array(values) for name, values in found.items()}
    return {
        name: np.concatenate(
            [values, values[:, mirrors[name]] * ((-1, 1) if values.ndim == 3 else 1)]
        )
        for name, values in arrays.items()
    }


def front_triangles(template: FaceTemplate) -> np.ndarray:
    """[F', 3] triangles that may hold a point: outside of pockets, seen from the front."""
    triangles = template.triangles[~pockets(template)[template.triangles].any(axis=1)]
    corners = template.mean_shape[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals[:, 2] > _LEAST_FACING * np.linalg.norm(normals, axis=1)
    return triangles[facing & (corners[..., 2].mean(axis=1) > _BACK_Z)]


def write_dense(found: dict[str, np.ndarray], template: FaceTemplate) -> SurfacePoints:
    """Writes, reports and returns the places of the mesh's points on the template."""
    seen = np.isfinite(found["dense"][:, 0, 0])
    dense, vertices = found["dense"][seen], found["vertices"][seen]
    places = fit_surface_points(dense, vertices, front_triangles(template))
    on_face = template.regions["face"][places.corners].all(axis=1)
    anchored = on_face & (places.cost < _MAX_DEVIATION)
    depths = found["dense_depths"][seen] - places.of(found["depths"][seen][..., None])[..., 0]
    depths -= depths[:, anchored].mean(axis=1, keepdims=True)
    errors = np.concatenate([dense - places.of(vertices), depths[..., None]], axis=2)[:, anchored]
    modes, deviation = error_modes(errors)
    np.savez_compressed(
        ASSET,
        corners=places.corners.astype(np.int16),
        weights=places.weights.astype(np.float32),
        anchored=anchored,
        modes=modes.astype(np.float32),
        deviation=deviation.astype(np.float32),
    )
    constant = np.median(dense - places.of(vertices), axis=0)
    points = places.of(template.mean_shape)
    gap = points - points[mesh_topology()["mirror"]] * (-1, 1, 1)
    print(
        f"468 points, {len(dense) // 2} pictures: {on_face.sum()} in the region face,"
        f" {anchored.sum()} of them keep to their place;"
        f" deviation {places.cost.mean():.2f} mm,"
        f" constant part {np.linalg.norm(constant, axis=1).mean():.2f} mm,"
        f" asymmetry at most {np.linalg.norm(gap, axis=1).max():.2f} mm\n"
        f"root mean square errors of these across and down, and in depth:"
        f" {np.sqrt(np.square(errors[..., :2]).mean()):.2f} and"
        f" {np.sqrt(np.square(errors[..., 2]).mean()):.2f} mm;"
        f" beside {len(modes)} common ones {np.sqrt(np.square(deviation).mean(axis=0)).round(2)} mm"
    )
    return places


def write_mesh_landmarks(
    found: dict[str, np.ndarray], template: FaceTemplate, mesh_places: SurfacePoints
) -> None:
    """Writes and reports the places of the 66 landmarks on the mesh."""
    seen = np.isfinite(found["dense"][:, 0, 0])
    mesh, vertices = found["dense"][seen], found["vertices"][seen]
    triangles = mesh_topology()["triangles"].astype(int)

    def places(numbers: np.ndarray, triangles: np.ndarray) -> SurfacePoints:
        unique, inverse = np.unique(numbers, return_inverse=True)
        fit = fit_surface_points(vertices[:, unique], mesh, triangles)
        inverse = inverse.reshape(numbers.shape)
        return SurfacePoints(fit.corners[inverse], fit.weights[inverse], fit.cost[inverse])

    # Closed lips lie in one place, but a landmark of one is no point of the other: they part when
    # the jaw drops.
    drops = np.linalg.norm(template.mouth_opening, axis=1)
    inner_vertices = template.landmark_vertices[NUM_CONTOUR_LANDMARKS:]
    share = drops[inner_vertices] / drops[inner_vertices].max()
    mesh_share = mesh_places.of(drops[:, None])[:, 0] / drops[inner_vertices].max()
    stays = triangles[(mesh_share[triangles] < _WITH_THE_JAW).all(axis=1)]
    goes = triangles[(mesh_share[triangles] > 1 - _WITH_THE_JAW).all(axis=1)]
    upper, lower = (places(inner_vertices, part) for part in (stays, goes))
    inner = SurfacePoints(
        *(
            np.where((share > 0.5).reshape(-1, *[1] * (of_upper.ndim - 1)), of_lower, of_upper)
            for of_upper, of_lower in zip(vars(upper).values(), vars(lower).values())
        )
    )
    contour = places(template.contour_candidates, triangles)
    chosen = []
    for costs in contour.cost:
        kept = np.flatnonzero(costs < _MAX_CONTOUR_DEVIATION)
        kept = kept if len(kept) else [costs.argmin()]
        chosen.append(np.pad(kept, (0, len(costs) - len(kept)), mode="edge"))
    rows, chosen = np.arange(len(chosen))[:, None], np.array(chosen)

    def joined(name: str) -> np.ndarray:
        fixed = np.repeat(getattr(inner, name)[:, None], chosen.shape[1], axis=1)
        return np.concatenate([getattr(contour, name)[rows, chosen], fixed])

    np.savez_compressed(
        ASSETS / "face_mesh_landmarks.npz",
        corners=joined("corners").astype(np.int16),
        weights=joined("weights").astype(np.float32),
    )
    print(
        f"66 landmarks on the mesh: deviation {inner.cost.mean():.2f} mm of the inner ones;"
        f" {[len(set(row)) for row in chosen.tolist()]} places of the contour"
    )


def write_detected(found: dict[str, np.ndarray], template: FaceTemplate) -> None:
    """Writes where dlib puts the landmarks of the right half and of the midline."""
    seen = np.isfinite(found["dlib"][:, 0, 0])
    dlib, vertices = found["dlib"][seen], found["vertices"][seen]
    earlier = {
        template.landmark_vertices[np.searchsorted(FROM_68, number)]: place
        for number, place in read_detected().items()
    }
    earlier = {v: place for v, place in earlier.items() if v not in measured_vertices()}
    result = {}
    for numbers, triangles in _where_to_look(template):
        index = np.searchsorted(FROM_68, numbers)
        fit = fit_surface_points(dlib[:, index], vertices, triangles)
        for number, corners, weights in zip(numbers, fit.corners, fit.weights):
            result[number] = unmoved(corners, weights, earlier)
    DETECTED.write_text(as_text(dict(sorted(result.items()))))


def _where_to_look(template: FaceTemplate) -> list[tuple[list[int], np.ndarray]]:
    """Landmarks of the right half and the midline, and the triangles or edges that hold them."""
    edges = topology.edges(template.triangles)
    middle = edges[(np.abs(template.mean_shape[edges, 0]) < 1e-3).all(axis=1)]
    paired = set(marks.MIRROR.values())
    midline = [n for n in marks.LANDMARKS if n not in paired and n not in _KEPT]
    bound = {*_KEPT, *_LIDS, *_UPPER_INNER_LIP, *midline}

    def along(path: Sequence[int]) -> np.ndarray:
        return np.array([(a, b, b) for a, b in itertools.pairwise(path)])

    return [
        ([n for n in marks.LANDMARKS if n not in bound], front_triangles(template)),
        (list(_LIDS), along(marks.LID_RIM)),
        (list(_UPPER_INNER_LIP), along(marks.UPPER_INNER_LIP)),
        (midline, middle[:, [0, 1, 1]]),
    ]


def unmoved(
    corners: np.ndarray, weights: np.ndarray, moved: dict[int, dict[int, float]]
) -> dict[int, float]:
    """A place on the template by vertices of the base mesh; `moved` says where some have gone."""
    total = {}
    for corner, weight in zip(corners.tolist(), weights.tolist()):
        for vertex, share in moved.get(corner, {corner: 1.0}).items():
            total[vertex] = total.get(vertex, 0.0) + weight * share
    return {vertex: round(share, 2) for vertex, share in total.items() if share >= _LEAST_SHARE}


def as_text(places: dict[int, dict[int, float]]) -> str:
    """JSON with a line for each landmark."""
    return "{\n" + ",\n".join(f'"{n}": {json.dumps(p)}' for n, p in places.items()) + "\n}\n"


def report_constants(found: dict[str, np.ndarray]) -> None:
    """Prints what is left between dlib and the template as it is now, by part of the face."""
    print("constant part of dlib's difference from the template's landmarks as they are, mm:")
    constant = np.linalg.norm(np.nanmedian(found["dlib"] - found["landmarks"], axis=0), axis=1)
    for name, part in LANDMARK_PARTS.items():
        print(f"  {name:12s} mean {constant[part].mean():.2f}, largest {constant[part].max():.2f}")


def main(_):
    """Calibrates."""
    template = load_makehuman()
    found = gather()
    mesh_places = write_dense(found, template)
    write_mesh_landmarks(found, template, mesh_places)
    report_constants(found)
    if _MOVE.value:
        write_detected(found, template)


if __name__ == "__main__":
    app.run(main)
