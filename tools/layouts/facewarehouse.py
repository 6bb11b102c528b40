r"""Makes a folder in the layout of FaceWarehouse from synthetic people, for lack of the real one.

    python -m tools.layouts.facewarehouse --output_dir=facewarehouse
    python evaluate.py --dataset=facewarehouse --data_dir=facewarehouse --checkpoint=... \
        --output_dir=...

FaceWarehouse is given to those who sign for it (Zhejiang University). Made here, of each tester:
20 meshes of quads in decimetres, with texture coordinates of their own numbering
(`TrainingPose/pose_K.obj`), their pictures (`pose_K.png`), and neutral face and 46 blendshapes in
one binary file (`Blendshape/shape.bs`). The meshes have more vertices than the real 11,510, in an
order of their own. Not made, since we do not read them: depth maps, 2D landmarks, single
blendshapes.
"""

import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.protocols.facewarehouse import NUM_BLENDSHAPES, TESTER_LIST
from fml_tf.files.atomic import write_bytes, write_image, write_text
from fml_tf.files.folders import output_directory
from fml_tf.rendering.camera import PerspectiveCamera
from tools.layouts.studio import Studio

_MM_PER_UNIT = 100.0
_CAMERA = PerspectiveCamera(900.0, 640, 480)
# Neutral, then 19 expressions.
_POSES = (
    {},
    {"jawOpen": 0.7},
    {"mouthSmile@": 0.9},
    {"browDown@": 0.9},
    {"browDown@": 0.8, "noseSneer@": 0.6, "mouthUpperUp@": 0.4},
    {"jawLeft": 0.8},
    {"jawRight": 0.8},
    {"jawLeft": 0.6, "mouthLeft": 0.5},
    {"jawRight": 0.6, "mouthRight": 0.5},
    {"mouthLeft": 0.8},
    {"mouthRight": 0.8},
    {"jawForward": 0.8},
    {"browInnerUp": 0.9, "browOuterUp@": 0.8},
    {"mouthPucker": 0.9},
    {"mouthFunnel": 0.8, "jawOpen": 0.3},
    {"mouthSmile@": 0.7, "jawOpen": 0.4},
    {"mouthFrown@": 0.9},
    {"eyeBlink@": 1.0},
    {"cheekPuff": 0.9},
    {"mouthRollLower": 0.8, "mouthRollUpper": 0.8},
)


def obj(vertices: np.ndarray, quads: np.ndarray, uv: np.ndarray) -> str:
    """The text of an OBJ of quads with texture coordinates in the opposite order."""
    count = len(vertices)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv[::-1]]
    lines += ["f " + " ".join(f"{v + 1}/{count - v}" for v in quad) for quad in quads]
    return "\n".join(lines) + "\n"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    flags.DEFINE_string("output_dir", None, "Folder to make.", flag_values, required=True)
    flags.DEFINE_integer("testers", 2, "How many.", lower_bound=1, flag_values=flag_values)


def main(_, options: flags.FlagValues = flags.FLAGS) -> None:
    """Writes the folder, whole or not at all."""
    with one_line_errors("facewarehouse layout"), output_directory(options.output_dir) as root:
        write_layout(root, options.testers)


def write_layout(root: pathlib.Path, num_testers: int) -> None:
    """Writes meshes, pictures, blendshapes and the list."""
    studio = Studio(seed=2, resolution="16k")
    template = studio.head.template
    count = template.num_vertices
    # The template's triangles are quads cut in two, one after the other.
    quads = np.concatenate([template.triangles[::2], template.triangles[1::2, 2:]], axis=1)
    order = np.random.default_rng(0).permutation(count)
    quads = np.argsort(order)[quads]
    names = [f"Tester_{number + 1}" for number in range(num_testers)]
    for number, name in enumerate(names):
        person = studio.person(number)
        poses, shapes = root / name / "TrainingPose", root / name / "Blendshape"
        poses.mkdir(parents=True, exist_ok=True)
        shapes.mkdir(exist_ok=True)
        for k, expression in enumerate(tqdm(_POSES, name)):
            head = studio.vertices(person, expression)
            vertices = head[:count][order] / _MM_PER_UNIT
            write_text(poses / f"pose_{k}.obj", obj(vertices, quads, template.uv[order]))
            picture, _ = studio.photograph(person, head, 0.0, _CAMERA)
            write_image(poses / f"pose_{k}.png", picture)
        units = [{}, *({name: 1.0} for name in template.blendshape_names[:NUM_BLENDSHAPES])]
        heads = [studio.vertices(person, unit)[:count][order] / _MM_PER_UNIT for unit in units]
        header = np.array([NUM_BLENDSHAPES, count, len(quads)], "<i4")
        data = header.tobytes() + np.stack(heads).astype("<f4").tobytes()
        write_bytes(shapes / "shape.bs", data)
    write_text(root / TESTER_LIST, "".join(f"{name}\n" for name in names))


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
