r"""Makes a folder in the layout of the NoW challenge from the scan `james` of PyPI's menpo3d.

    pip download --no-deps --no-binary :all: --no-build-isolation menpo3d==0.8.6
    tar xzf menpo3d-0.8.6.tar.gz
    python -m tools.layouts.now --scan=menpo3d-0.8.6/menpo3d/data/james.obj --output_dir=now
    python evaluate.py --dataset=now --data_dir=now --checkpoint=... --output_dir=...

The scan is one man's face in mm with its photographed texture (BSD-3). Pictures are renderings of
it with the light of the texture, easier than the challenge's photos: from a few sides, with dark
glasses, and from half the distance. Expressions cannot be had from one scan.
"""

import pathlib

from fml_tf import quiet  # noqa: F401  # isort: skip

import cv2
import numpy as np
import tensorflow as tf
from absl import app, flags
from scipy.spatial.transform import Rotation

from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.predictions import SEVEN
from fml_tf.evaluation.protocols.layouts import read_ljson
from fml_tf.evaluation.protocols.now import IMAGE_LIST
from fml_tf.evaluation.textured_scan import read_textured_scan, render_scan
from fml_tf.files.atomic import write_array, write_image, write_text
from fml_tf.files.folders import output_directory
from fml_tf.files.meshes import read_mesh, write_obj
from fml_tf.geometry.alignment import procrustes
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.template.makehuman import load_makehuman

_SCAN = flags.DEFINE_string("scan", None, "james.obj, with .jpg and .ljson beside it.")
_OUTPUT = flags.DEFINE_string("output_dir", None, "Folder to make.")

_SUBJECT = "james"
# By challenge: yaws in degrees, distance in mm, and whether the eyes are covered.
_CHALLENGES = {
    "multiview_neutral": ((0.0, -25.0, 25.0, -40.0), 900.0, False),
    "multiview_occlusions": ((0.0, 20.0), 900.0, True),
    "selfie": ((-5.0, 15.0), 450.0, False),
}
_SIZE = 640
_FOCAL_LENGTH = 1.75  # px for each mm of distance, so that faces are of about one size


def main(_) -> None:
    """Writes the folder, whole or not at all."""
    with one_line_errors("now layout"), output_directory(_OUTPUT.value) as root:
        write_layout(root)


def write_layout(root: pathlib.Path) -> None:
    """Writes list, pictures, boxes, scan and landmarks."""
    scan = pathlib.Path(_SCAN.value)
    textured = read_textured_scan(scan)
    points = read_ljson(scan.with_suffix(".ljson"))
    seven = points[SEVEN]  # the same numbers among the 68 as among our 66

    release = root / "NoW_Dataset" / "final_release_version"
    scans, landmarks = root / "scans" / _SUBJECT, root / "scans_lmks_onlypp" / _SUBJECT
    for folder in (scans, landmarks):
        folder.mkdir(parents=True, exist_ok=True)

    template = load_makehuman("4k")
    template_points = template.mean_shape[template.landmark_vertices][SEVEN]
    upright = procrustes(seven, template_points, with_scale=False)
    lines = []
    for challenge, (yaws, distance, occluded) in _CHALLENGES.items():
        pictures = release / "iphone_pictures" / _SUBJECT / challenge
        boxes = release / "detected_face" / _SUBJECT / challenge
        for folder in (pictures, boxes):
            folder.mkdir(parents=True, exist_ok=True)
        camera = PerspectiveCamera(_FOCAL_LENGTH * distance, _SIZE, _SIZE)
        for yaw in yaws:
            turn = Rotation.from_euler("y", yaw, degrees=True)

            def pose(values, turn=turn, distance=distance):
                return turn.apply(upright.apply(values)) - [0.0, 0.0, distance]

            picture, _ = render_scan(textured, pose(textured.vertices), camera)
            projected = project(tf.constant(pose(points)[..., None]), camera)[..., 0].numpy()
            if occluded:
                cover_eyes(picture, projected)
            name = f"IMG_{len(lines):04d}"
            write_image(pictures / f"{name}.jpg", picture)
            (left, top), (right, bottom) = projected.min(axis=0), projected.max(axis=0)
            box = {"left": left, "top": top, "right": right, "bottom": bottom}
            write_array(boxes / f"{name}.npy", {side: float(value) for side, value in box.items()})
            lines.append(f"{_SUBJECT}/{challenge}/{name}.jpg\n")
    write_text(root / IMAGE_LIST, "".join(lines))

    # The scan without its texture, as the challenge has it.
    plain = read_mesh(scan)
    write_obj(scans / f"{_SUBJECT}.obj", plain.vertices, plain.faces)
    write_text(landmarks / f"{_SUBJECT}.pp", picked_points(seven))


def cover_eyes(picture: np.ndarray, landmarks: np.ndarray) -> None:
    """Paints dark glasses over the eyes of landmarks [68, 2] px, in place."""
    for eye in (landmarks[36:42], landmarks[42:48]):
        centre, width = eye.mean(axis=0), 1.1 * np.ptp(eye[:, 0])
        axes = (round(width), round(0.7 * width))
        cv2.ellipse(
            picture, np.round(centre).astype(int).tolist(), axes, 0, 0, 360, (25, 25, 30), -1
        )


def picked_points(points: np.ndarray) -> str:
    """The text of MeshLab's file of picked points, which the challenge reads by line numbers."""
    head = [
        "<!DOCTYPE PickedPoints>",
        "<PickedPoints>",
        " <DocumentData>",
        '  <DateTime time="00:00:00" date="2000-01-01"/>',
        '  <User name=""/>',
        f'  <DataFileName name="{_SUBJECT}.obj"/>',
        '  <templateName name=""/>',
        " </DocumentData>",
    ]
    lines = [
        f' <point x="{x:.6f}" y="{y:.6f}" z="{z:.6f}" active="1" name="{i}"/>'
        for i, (x, y, z) in enumerate(points)
    ]
    return "\n".join([*head, *lines, "</PickedPoints>", ""])


if __name__ == "__main__":
    flags.mark_flags_as_required(["scan", "output_dir"])
    app.run(main)
