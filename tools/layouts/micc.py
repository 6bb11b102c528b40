r"""Makes a folder in the layout of MICC Florence from synthetic people.

    python -m tools.layouts.micc --output_dir=micc --people=3
    python evaluate.py --dataset=micc --data_dir=micc --checkpoint=... --num_frames=1,all \
        --output_dir=...

For each subject the part of a neutral head that a scanner in front of it sees, as an OBJ in mm with
a photograph as texture (`Model/frontal1/obj`), and three videos, as concatenated JPEGs like the
data set's own: one near the camera, one further away, one in hard light. Hair is a displacement of
the skin. Easier than the data set, which no one may pass on.
"""

import pathlib

import cv2
import numpy as np
from absl import app, flags
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.evaluation.protocols.micc import VIDEOS
from fml_tf.files.atomic import write_bytes, write_image, write_text
from fml_tf.files.folders import output_directory
from fml_tf.files.images import to_bytes
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.synthesis.expression import sample_expression
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person, PersonSampler
from fml_tf.synthesis.picture import degrade, sample_background
from fml_tf.synthesis.renderer import Renderer
from fml_tf.synthesis.scene import HeadPose, Light, sample_lights

_TEXTURE_SIZE, _SCAN_DISTANCE_MM, _SCAN_SPAN_MM = 1024, 1200.0, 330.0
_VIDEO_SIZE = 360
_FACE_WIDTHS = dict(zip(VIDEOS, (210, 150, 150)))  # px, of 225 mm
_DISTANCE_MM = 1500.0
_SWING_DEGREES = (8.0, 30.0, 4.0)  # pitch, yaw, roll of a video's slow movement
_EXPRESSION = 0.3  # share of a full expression: subjects were not asked for any


def scan(head: HeadModel, renderer: Renderer, person: Person) -> tuple[np.ndarray, ...]:
    """Vertices [V, 3] mm, triangles [F, 3], uv [V, 2] of what is seen from the front; texture."""
    neutral = np.zeros(len(head.template.blendshape_names), np.float32)
    vertices = head.deform(person.neutral, neutral, person.hair_volume, person.glasses)
    camera = PerspectiveCamera(
        _TEXTURE_SIZE * _SCAN_DISTANCE_MM / _SCAN_SPAN_MM, _TEXTURE_SIZE, _TEXTURE_SIZE
    )
    pose = HeadPose(np.zeros(3, np.float32), np.array([0, 20, -_SCAN_DISTANCE_MM], np.float32))
    light = Light(0.9 * ambient_illumination(), np.array([0, 0, 1], np.float32), np.zeros(3))
    background = np.zeros((_TEXTURE_SIZE, _TEXTURE_SIZE, 3), np.float32)
    texture = renderer.draw(person, vertices, pose, light, camera, background)[0]
    posed = np.float32(pose.apply(vertices))
    ids = np.unique(rasterize(posed, head.triangles, camera).triangle_ids.numpy())
    seen, triangles = np.unique(head.triangles[ids[ids >= 0]], return_inverse=True)
    depth = -posed[seen, 2:]
    uv = 0.5 + camera.focal_length_px / _TEXTURE_SIZE * posed[seen, :2] / depth
    return vertices[seen], triangles.reshape(-1, 3), uv, to_bytes(texture)


def film(
    head: HeadModel,
    renderer: Renderer,
    person: Person,
    video: str,
    num_frames: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """The frames [360, 360, 3] uint8 of one video."""
    focal_length = _FACE_WIDTHS[video] * _DISTANCE_MM / 225.0
    camera = PerspectiveCamera(focal_length, _VIDEO_SIZE, _VIDEO_SIZE)
    background = sample_background(rng, _VIDEO_SIZE)
    (light,) = sample_lights(rng, 1)
    if video == "PTZ-Outdoor":
        light = Light(0.6 * light.ambient, light.key_direction, 1.6 * light.key_colour)
    centre = person.neutral[head.template.landmark_vertices].mean(axis=0)
    phase = rng.uniform(0, 2 * np.pi, 3)
    frames = []
    for number in range(num_frames):
        swing = np.sin(phase + 2 * np.pi * number / num_frames) * _SWING_DEGREES
        rotation = Rotation.from_euler("xyz", swing, degrees=True)
        position = [*rng.normal(scale=15, size=2), -_DISTANCE_MM] - rotation.apply(centre)
        pose = HeadPose(np.float32(rotation.as_rotvec()), np.float32(position))
        activations = _EXPRESSION * sample_expression(rng, head.template.blendshape_names)
        vertices = head.deform(person.neutral, activations, person.hair_volume, person.glasses)
        picture = renderer.draw(person, vertices, pose, light, camera, background)[0]
        frames.append(degrade(picture, rng))
    return frames


def write_scan(folder: pathlib.Path, stem: str, vertices, triangles, uv, texture) -> None:
    """Writes OBJ, material and texture as the scanner names them."""
    write_text(folder / f"{stem}.mtl", f"newmtl {stem}\nmap_Kd {stem}.bmp\n")
    lines = [f"mtllib {stem}.mtl", f"usemtl {stem}"]
    lines += ["v {:.4f} {:.4f} {:.4f}".format(*vertex) for vertex in vertices]
    lines += ["vt {:.6f} {:.6f}".format(*point) for point in uv]
    lines += ["f {0}/{0} {1}/{1} {2}/{2}".format(*triangle) for triangle in triangles + 1]
    write_text(folder / f"{stem}.obj", "\n".join(lines) + "\n")
    write_image(folder / f"{stem}.bmp", texture)


def main(_) -> None:
    """Writes the folder, whole or not at all."""
    with one_line_errors("micc layout"), output_directory(flags.FLAGS.output_dir) as root:
        write_layout(root)


def write_layout(root: pathlib.Path) -> None:
    """Writes scans and videos."""
    head = HeadModel("16k")
    sampler, renderer = PersonSampler(head), Renderer(head)
    for index in tqdm(range(flags.FLAGS.people), unit="subject"):
        rng = np.random.default_rng([flags.FLAGS.seed, index])
        person = sampler.sample(rng)
        subject = root / f"subject_{index + 1:02d}"
        model, videos = subject / "Model" / "frontal1" / "obj", subject / "Video"
        for folder in (model, videos):
            folder.mkdir(parents=True, exist_ok=True)
        vertices, triangles, uv, texture = scan(head, renderer, person)
        # The scanner's space is its own.
        turn = Rotation.from_euler("xyz", rng.normal(scale=4, size=3), degrees=True)
        vertices = turn.apply(vertices) + rng.normal(scale=50, size=3)
        write_scan(model, f"1109201504{index + 1:02d}", vertices, triangles, uv, texture)
        for video in VIDEOS:
            frames = film(head, renderer, person, video, flags.FLAGS.frames, rng)
            encoded = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in frames]
            write_bytes(videos / f"{video}.mjpg", b"".join(encoded))


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
    flags.DEFINE_integer("people", 3, "How many subjects.", lower_bound=1)
    flags.DEFINE_integer("frames", 8, "Of each video.", lower_bound=1)
    flags.DEFINE_integer("seed", 5, "Other people than those of synthetic_faces, which has 0.")
    app.run(main)
