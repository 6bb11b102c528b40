r"""Makes a folder in the layout of the NoW challenge from the scan `james` of PyPI's menpo3d.

    pip download --no-deps --no-binary :all: menpo3d==0.8.6 && tar xzf menpo3d-0.8.6.tar.gz
    python -m tools.make_now_layout --scan=menpo3d-0.8.6/menpo3d/data/james.obj --output_dir=now
    python evaluate.py --dataset=now --data_dir=now --checkpoint=... --output_dir=...

The scan is one man's face in mm with its photographed texture (BSD-3). Pictures are renderings of
it from a few sides, with the light of the texture: easier than the challenge's photos.
"""

import pathlib

import cv2
import numpy as np
import tensorflow as tf
from absl import app, flags

from fml_tf.evaluation.predictions import SEVEN
from fml_tf.evaluation.protocols.layouts import read_ljson
from fml_tf.evaluation.protocols.now import IMAGE_LIST
from fml_tf.evaluation.textured_scan import read_textured_scan, render_scan
from fml_tf.mesh.alignment import procrustes
from fml_tf.mesh.files import read_mesh, write_obj
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.pose import rotation_matrix
from fml_tf.template.makehuman import load_makehuman

_SCAN = flags.DEFINE_string("scan", None, "james.obj, with .jpg and .ljson beside it.")
_OUTPUT = flags.DEFINE_string("output_dir", None, "Folder to make.")

_SUBJECT, _CHALLENGE = "james", "multiview_neutral"
_YAWS = (0.0, -25.0, 25.0, -40.0)  # degrees
_CAMERA = PerspectiveCamera(1600.0, 640, 640)
_DISTANCE_MM = 900.0


def main(_) -> None:
    """Writes list, pictures, boxes, scan and landmarks."""
    scan = pathlib.Path(_SCAN.value)
    textured = read_textured_scan(scan)
    points = read_ljson(scan.with_suffix(".ljson"))
    seven = points[SEVEN]  # the same numbers among the 68 as among our 66

    root = pathlib.Path(_OUTPUT.value)
    release = root / "NoW_Dataset" / "final_release_version"
    folders = [
        release / "iphone_pictures" / _SUBJECT / _CHALLENGE,
        release / "detected_face" / _SUBJECT / _CHALLENGE,
        root / "scans" / _SUBJECT,
        root / "scans_lmks_onlypp" / _SUBJECT,
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    pictures, boxes, scans, landmarks = folders

    template = load_makehuman("4k")
    template_points = template.mean_shape[template.landmark_vertices][SEVEN]
    upright = procrustes(seven, template_points, with_scale=False)
    lines = []
    for number, yaw in enumerate(_YAWS):
        turn = rotation_matrix(tf.constant([[0.0, np.radians(yaw), 0.0]])).numpy()[0]

        def pose(values, turn=turn):
            return upright.apply(values) @ turn.T - [0.0, 0.0, _DISTANCE_MM]

        name = f"IMG_{number:04d}"
        picture, _ = render_scan(textured, pose(textured.vertices), _CAMERA)
        cv2.imwrite(str(pictures / f"{name}.jpg"), picture[..., ::-1])
        projected = project(tf.constant(pose(points)[..., None]), _CAMERA)[..., 0].numpy()
        (left, top), (right, bottom) = projected.min(axis=0), projected.max(axis=0)
        box = {"left": left, "top": top, "right": right, "bottom": bottom}
        np.save(boxes / f"{name}.npy", {side: float(value) for side, value in box.items()})
        lines.append(f"{_SUBJECT}/{_CHALLENGE}/{name}.jpg\n")
    (root / IMAGE_LIST).write_text("".join(lines))

    # The scan without its texture, as the challenge has it.
    plain = read_mesh(scan)
    write_obj(scans / f"{_SUBJECT}.obj", plain.vertices, plain.faces)
    (landmarks / f"{_SUBJECT}.pp").write_text(picked_points(seven))


def picked_points(points: np.ndarray) -> str:
    """The text of MeshLab's file of picked points."""
    lines = [
        f' <point x="{x:.6f}" y="{y:.6f}" z="{z:.6f}" name="{i}" active="1"/>'
        for i, (x, y, z) in enumerate(points)
    ]
    head = "<!DOCTYPE PickedPoints>\n<PickedPoints>\n"
    return head + "\n".join(lines) + "\n</PickedPoints>\n"


if __name__ == "__main__":
    flags.mark_flags_as_required(["scan", "output_dir"])
    app.run(main)
