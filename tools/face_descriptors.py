"""Descriptors of rendered people, for the scripts that centre and measure them."""

import dataclasses

import cv2
import numpy as np
import tqdm
from scipy.spatial.transform import Rotation

from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.perception.recognition import FaceRecognition
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.fast import FAST
from fml_tf.rendering.pixel_image import render_faces
from fml_tf.synthesis.generator import CROP_SIZE, SOURCE_SIZE, FrameSettings
from fml_tf.synthesis.workers import available_processes, generate
from fml_tf.template.makehuman import load_makehuman

FRAMES_PER_PERSON = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Descriptors:
    """Of P people with 4 frames each, as `datasets/synthetic_faces` has them.

    Attributes:
      pictures: [P, 4, 128] of the crops at their noisy landmarks.
      faces: [P, 4, 128] of what a perfect reconstruction would draw, on black, at the same
        landmarks.
      strangers: [P, 4, 128] likewise, in the shape of the person before and else the same.
    """

    pictures: np.ndarray
    faces: np.ndarray
    strangers: np.ndarray


def describe_people(people: int, seed: int) -> Descriptors:
    """Renders so many people and looks at them; the script needs a `__main__` guard."""
    recognition, renderer = FaceRecognition(), _FaceRenderer()
    settings = FrameSettings(num_frames=FRAMES_PER_PERSON, seed=seed)
    generated = generate(settings, range(people), 1, available_processes())
    examples = [example for _, (example,) in tqdm.tqdm(generated, total=people, mininterval=5)]
    found = []
    for index, example in enumerate(tqdm.tqdm(examples, mininterval=5)):
        pictures = [
            cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR_RGB)
            for frame in example["frames"]
        ]
        crops = [np.float32(pictures) / 255]
        for shape in (example["neutral_shape"], examples[index - 1]["neutral_shape"]):
            crops.append(renderer.draw(example, shape))
        found.append([recognition.describe(crop, example["landmarks"]).numpy() for crop in crops])
    return Descriptors(*np.stack(found, axis=1))


class _FaceRenderer:
    """Draws faces on black, as the perceptual loss does."""

    def __init__(self):
        self._template = load_makehuman()
        self._one_ring = build_one_ring(self._template.triangles, self._template.num_vertices)

    def draw(self, example: dict, neutral: np.ndarray) -> np.ndarray:
        """The crops [4, 240, 240, 3] float32 of an example, of a face of neutral shape [V, 3]."""
        template = self._template
        activations = example["blendshape_activations"]
        shapes = neutral + np.tensordot(activations, template.blendshapes, 1)
        poses = zip(shapes, example["source_rotation"], example["source_translation"])
        vertices = [Rotation.from_rotvec(turn).apply(shape) + move for shape, turn, move in poses]
        vertices = np.float32(np.stack(vertices, axis=-1))
        albedo = np.repeat(example["albedo"][..., None], len(shapes), axis=2)
        normals = vertex_normals(vertices, self._one_ring)
        colours = FAST.shade(albedo, normals, example["source_illumination"])
        camera = PerspectiveCamera(float(example["focal_length"]), SOURCE_SIZE, SOURCE_SIZE)
        pictures, _ = render_faces(
            vertices, colours, template.regions["face"], template.triangles, camera, FAST
        )
        crops = []
        for picture, matrix in zip(pictures.numpy(), example["crop_transform"].astype(np.float64)):
            scale = matrix[0, 0]
            left, top = np.round(-matrix[:, 2] / scale).astype(int).tolist()
            transform = CropTransform(left, top, round(CROP_SIZE / scale), CROP_SIZE)
            crops.append(crop_image(picture, transform))
        return np.clip(crops, 0, 1).astype(np.float32)
