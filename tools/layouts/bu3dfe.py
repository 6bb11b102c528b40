r"""Makes a folder in the layout of BU-3DFE from synthetic people, for lack of the real one.

    python -m tools.layouts.bu3dfe --output_dir=bu3dfe
    python evaluate.py --dataset=bu3dfe --data_dir=bu3dfe --checkpoint=... --output_dir=...

BU-3DFE is given to those who sign for it (Binghamton University). Made here, of each scan: the face
as VRML 2.0, in mm (`_F3D.wrl`); its texture, two photographs from ±45° side by side (`_F3D.bmp`);
the picture from the front (`_F2D.bmp`); 83 feature points (`_F3D.bnd`). Not made, since we do not
read them: the raw scans (`_RAW.wrl`, `_RAW.pse`).
"""

import pathlib

import numpy as np
from absl import app, flags
from scipy.spatial import cKDTree
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.protocols.bu3dfe import (
    CORRESPONDENCE_FOLDER,
    EXPRESSIONS,
    SCAN_LIST,
    SUBJECTS,
)
from fml_tf.files.atomic import write_image, write_text
from fml_tf.files.folders import output_directory
from fml_tf.rendering.camera import PerspectiveCamera
from tools.layouts.studio import Studio

_FULL = {  # at level 04
    "NE": {},
    "AN": {"browDown@": 1.0, "mouthPress@": 0.8, "noseSneer@": 0.4},
    "DI": {"noseSneer@": 1.0, "mouthUpperUp@": 0.8, "browDown@": 0.5},
    "FE": {"browInnerUp": 0.9, "eyeWide@": 0.9, "mouthStretch@": 0.8, "jawOpen": 0.2},
    "HA": {"mouthSmile@": 1.0, "cheekSquint@": 0.6, "jawOpen": 0.1},
    "SA": {"browInnerUp": 0.8, "mouthFrown@": 0.9, "mouthShrugLower": 0.5},
    "SU": {"jawOpen": 0.7, "browInnerUp": 0.7, "browOuterUp@": 0.7, "eyeWide@": 0.8},
}
_SCAN_SPACING_MM = 2.0  # about the 8,000 vertices of the real scans
_VIEWS = (45.0, -45.0)
_CAMERA = PerspectiveCamera(2900.0, 650, 900)
_FRONTAL = PerspectiveCamera(2100.0, 512, 512)


def feature_points(landmarks: np.ndarray) -> np.ndarray:
    """The 83 points in BU-3DFE's groups, from our 66 landmarks [66, 3]."""

    def loop(*parts):
        return [landmarks[list(part)].mean(axis=0) for part in parts]

    def eye(k):
        upper = loop([k], [k + 1], [k + 1, k + 2], [k + 2])
        return upper + loop([k + 3], [k + 4], [k + 4, k + 5], [k + 5])

    def brow(points):
        inwards = 0.1 * (points.mean(axis=0) - points)
        return [*points, *(points + inwards - (0, 5, 0))[::-1]]

    inner = landmarks[60:66]
    corners = [0.7 * landmarks[48] + 0.3 * inner[1], 0.7 * landmarks[54] + 0.3 * inner[1]]
    bridge = landmarks[27:31]
    points = [
        *eye(36),
        *eye(42),
        *brow(landmarks[17:22]),
        *brow(landmarks[22:27]),
        *((bridge[:3] + landmarks[39]) / 2),
        *((bridge[:3] + landmarks[42]) / 2),
        *loop([31], [31, 32], [32, 33], [33, 34], [34, 35], [35]),
        *landmarks[48:60],
        *[corners[0], *inner[:3], corners[1], *inner[3:]],
        *landmarks[1:16],
    ]
    return np.array(points)


def vrml(vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray, picture: str) -> str:
    """The text of a VRML 2.0 file; uv [F, 3, 2] of the triangles' corners."""
    coordinates = uv.reshape(-1, 2)
    corners = np.arange(len(coordinates)).reshape(-1, 3)

    def rows(values, form):
        return ",\n".join("\t\t\t\t" + " ".join(form % v for v in row) for row in values)

    def faces(values):
        return "\n".join("\t\t\t" + "".join(f"{v}, " for v in row) + "-1," for row in values)

    return f"""#VRML V2.0 utf8

Shape {{
\tappearance Appearance {{
\t\tmaterial Material {{
\t\t\tambientIntensity 1.0 # as lit as it was photographed
\t\t}}
\t\ttexture ImageTexture {{
\t\t\turl "{picture}"
\t\t}}
\t}}
\tgeometry IndexedFaceSet {{
\t\tcoord Coordinate {{
\t\t\tpoint [
{rows(vertices, "%.4f")}
\t\t\t]
\t\t}}
\t\tcoordIndex [
{faces(triangles)}
\t\t]
\t\ttexCoord TextureCoordinate {{
\t\t\tpoint [
{rows(coordinates, "%.6f")}
\t\t\t]
\t\t}}
\t\ttexCoordIndex [
{faces(corners)}
\t\t]
\t}}
}}
"""


def indexed_points(indices: np.ndarray, points: np.ndarray) -> str:
    """The text of a .bnd file."""
    rows = zip(indices, points)
    return "".join(f"{i}\t\t{x:.6f} {y:.6f} {z:.6f}\n" for i, (x, y, z) in rows)


def make_scan(studio, person, expression, base: pathlib.Path) -> np.ndarray:
    """Writes the files of one scan; returns the head's vertices."""
    level = int(expression[2:]) / 4.0
    amounts = {name: level * amount for name, amount in _FULL[expression[:2]].items()}
    head = studio.vertices(person, amounts)
    vertices, triangles, corners, barycentrics = studio.scan(head, _SCAN_SPACING_MM)

    photographs, positions = zip(*(studio.photograph(person, head, yaw, _CAMERA) for yaw in _VIEWS))
    texture = np.concatenate(photographs, axis=1)
    height, width = texture.shape[:2]
    uv = []
    for side, places in enumerate(positions):
        places = np.einsum("nk,nkc->nc", barycentrics, places[corners]) + (side * _CAMERA.width, 0)
        uv.append(places / (width, -height) + (0, 1))
    # Each triangle takes its colour from the camera that it faces more.
    edges = vertices[triangles[:, 1:]] - vertices[triangles[:, :1]]
    from_left = np.cross(edges[:, 0], edges[:, 1])[:, 0] > 0
    uv = np.where(from_left[:, None, None], uv[0][triangles], uv[1][triangles])

    base.parent.mkdir(parents=True, exist_ok=True)
    named = {suffix: base.with_name(base.name + suffix) for suffix in ("_F3D.bmp", "_F2D.bmp")}
    write_image(named["_F3D.bmp"], texture)
    frontal, _ = studio.photograph(person, head, 0.0, _FRONTAL)
    write_image(named["_F2D.bmp"], frontal)
    text = vrml(vertices, triangles, uv, named["_F3D.bmp"].name)
    write_text(base.with_name(base.name + "_F3D.wrl"), text)
    points = feature_points(head[studio.head.template.landmark_vertices])
    nearest = cKDTree(vertices).query(points)[1]
    feature_file = base.with_name(base.name + "_F3D.bnd")
    write_text(feature_file, indexed_points(nearest, vertices[nearest]))
    return head


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    subjects, expressions = "F0001WH,F0002AE,M0001BL", "NE00,HA03,SU04"
    flags.DEFINE_string("output_dir", None, "Folder to make.", flag_values, required=True)
    flags.DEFINE_list("subjects", subjects, "With their races.", flag_values=flag_values)
    flags.DEFINE_list("expressions", expressions, "Of each subject.", flag_values=flag_values)
    flags.DEFINE_bool(
        "correspondence",
        False,
        "Also write where the template's vertices truly are.",
        flag_values=flag_values,
    )


def main(_, options: flags.FlagValues = flags.FLAGS) -> None:
    """Writes the folder, whole or not at all."""
    unknown = {subject[:5] for subject in options.subjects} - set(SUBJECTS)
    unknown |= set(options.expressions) - set(EXPRESSIONS)
    if unknown:
        raise app.UsageError(f"no subjects or expressions of BU-3DFE: {', '.join(sorted(unknown))}")
    with one_line_errors("bu3dfe layout"), output_directory(options.output_dir) as root:
        write_layout(root, options)


def write_layout(root: pathlib.Path, options: flags.FlagValues) -> None:
    """Writes the scans that the flags ask for, and their list."""
    studio = Studio(seed=1)
    template, names = studio.head.template, []
    face = np.flatnonzero(template.regions["face"])
    for number, subject in enumerate(tqdm(options.subjects, "subjects")):
        subject, race = subject[:5], subject[5:]
        person = studio.person(number)
        for expression in options.expressions:
            names.append(f"{subject}_{expression}")
            head = make_scan(studio, person, expression, root / subject / f"{names[-1]}{race}")
            if options.correspondence:
                folder = root / CORRESPONDENCE_FOLDER
                folder.mkdir(exist_ok=True)
                write_text(folder / f"{names[-1]}.txt", indexed_points(face, head[face]))
    write_text(root / SCAN_LIST, "".join(f"{name}\n" for name in names))


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
