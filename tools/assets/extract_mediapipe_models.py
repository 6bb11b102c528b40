r"""Takes MediaPipe's face models out of its wheel, into fml_tf/preprocessing/assets.

    python -m tools.assets.extract_mediapipe_models [--wheel=PATH]

Without --wheel it runs `pip download --no-deps mediapipe==0.10.21`. The wheel is checked by its
hash and read as a zip file; nothing of it is installed or run. The triangles of the face mesh come
from the edges that the wheel's `face_mesh_connections.py` lists one triangle after the other.
"""

import ast
import hashlib
import pathlib

import cv2
import numpy as np
from absl import app, flags
from scipy.optimize import linear_sum_assignment
from skimage import data

from fml_tf.preprocessing.litert import ASSETS, LiteRtModel
from tools.assets.wheels import open_wheel

WHEEL = "mediapipe==0.10.21"
PLATFORM = (
    "--only-binary=:all:",
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
)
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
MODELS = (
    "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    "mediapipe/modules/face_landmark/face_landmark.tflite",
)
LICENCE = "mediapipe-0.10.21.dist-info/LICENSE"
CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"
# Where the face is in skimage's portrait: left, top, right, bottom.
_FACE = (130, 30, 320, 220)

_WHEEL = flags.DEFINE_string("wheel", None, f"Path of the {WHEEL} wheel; downloaded if not given.")
_OUTPUT = flags.DEFINE_string("output_dir", str(ASSETS), "Where the files are written.")


def mesh_triangles(source: str) -> np.ndarray:
    """[852, 3] triangles of the mesh, from the source text of `face_mesh_connections.py`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "FACEMESH_TESSELATION":
            edges = np.array(ast.literal_eval(node.value.args[0])).reshape(-1, 3, 2)
            break
    else:
        raise ValueError("no FACEMESH_TESSELATION")
    if (edges[..., 1] != np.roll(edges[..., 0], -1, axis=1)).any():
        raise ValueError("the edges are not those of one triangle after the other")
    return edges[..., 0]


def mirror_points(model: LiteRtModel) -> np.ndarray:
    """[468] where each point of the mesh goes in the mirror.

    The mesh's edges are not symmetric, but its points are: those of a portrait and those of its
    mirror image are assigned to each other, in 3D.
    """
    left, top, right, bottom = _FACE
    size = model.size, model.size
    face = cv2.resize(data.astronaut()[top:bottom, left:right], size) / 255
    points, mirrored = (model(image)[0].reshape(-1, 3) for image in (face, face[:, ::-1]))
    mirrored = mirrored * (-1, 1, 1) + (model.size, 0, 0)
    gaps = np.linalg.norm(points[:, None] - mirrored, axis=-1)
    mirror = linear_sum_assignment(gaps)[1]
    if (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mirror's mirror is another point")
    return mirror


def main(_):
    """Writes the files."""
    output = pathlib.Path(_OUTPUT.value)
    with open_wheel(WHEEL, WHEEL_SHA256, _WHEEL.value, PLATFORM) as wheel:
        files = {name.rsplit("/", 1)[1]: wheel.read(name) for name in MODELS}
        files["LICENSE.mediapipe"] = wheel.read(LICENCE)
        triangles = mesh_triangles(wheel.read(CONNECTIONS).decode())
    for name, content in files.items():
        (output / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    np.savez_compressed(
        output / "face_mesh_topology.npz",
        triangles=triangles.astype(np.int16),
        mirror=mirror_points(LiteRtModel("face_landmark")).astype(np.int16),
    )


if __name__ == "__main__":
    app.run(main)
