"""Multi-frame images of synthetic people, each a function of (seed, person, image) alone."""

import dataclasses

import cv2
import numpy as np

from fml_tf.geometry.crop import crop_box, crop_image
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.synthesis.detector import detect
from fml_tf.synthesis.expression import sample_expression
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person, PersonSampler
from fml_tf.synthesis.picture import (
    Development,
    degrade,
    sample_background,
    sample_development,
    sample_occluder,
)
from fml_tf.synthesis.renderer import Renderer
from fml_tf.synthesis.scene import HeadPose, Light, sample_lights, sample_poses
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.makehuman import load_makehuman

SOURCE_SIZE = 304
CROP_SIZE = 240
# Width of a face's crop in space, about (mm), and its share of the source picture.
_CROP_WIDTH_MM = 225.0
_CROP_SHARE = 0.85
_COARSEST = "4k"
_OCCLUDED_SHARE = 0.12
_JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class FrameSettings:
    """What the pictures of a data set have in common.

    Attributes:
      num_frames: M, frames of a multi-frame image.
      resolution: of the mesh that is drawn: "4k", "16k" or "60k".
      seed: of everything.
    """

    num_frames: int = 4
    resolution: str = "4k"
    seed: int = 0


def person_rng(seed: int, *key: int) -> np.random.Generator:
    """What a person (key: its index), or one of its images (index and number), is drawn by."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class FaceGenerator:
    """Makes examples; loads the template once."""

    def __init__(self, settings: FrameSettings):
        self._settings = settings
        self._head = HeadModel(settings.resolution)
        self._people = PersonSampler(self._head)
        self._renderer = Renderer(self._head)
        self._coarse_size = load_makehuman(_COARSEST).num_vertices

    def person(self, index: int) -> Person:
        """The person of an index."""
        return self._people.sample(person_rng(self._settings.seed, index))

    def _rng(self, *key: int) -> np.random.Generator:
        return person_rng(self._settings.seed, *key)

    def draw(
        self,
        person: Person,
        pose: HeadPose,
        light: Light,
        camera: PerspectiveCamera,
        background: np.ndarray,
    ) -> np.ndarray:
        """A clean picture [H, W, 3] float32 of a neutral face; see `Renderer.draw`."""
        neutral = np.zeros(len(self._head.template.blendshape_names), np.float32)
        vertices = self._head.deform(person.neutral, neutral, person.hair_volume, person.glasses)
        return self._renderer.draw(person, vertices, pose, light, camera, background)[0]

    def turning_clip(
        self, index: int, num_frames: int, size: int, share: float = 0.5, yaw: float = 25.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A clean clip of a neutral face that turns evenly from one side to the other.

        Args:
          index: the person's; background and light are functions of it, too.
          num_frames: how many.
          size: sides of the picture, px.
          share: width of the face's crop as a share of `size`.
          yaw: degrees at either end.

        Returns:
          Frames [num_frames, size, size, 3] uint8, and landmarks [num_frames, 66, 2] float32 px.
        """
        rng = self._rng(index, 0)
        person, template = self.person(index), self._head.template
        focal_length = 4.5
        camera = PerspectiveCamera(focal_length * share * size, size, size)
        (light,) = sample_lights(rng, 1)
        background = sample_background(rng, size)
        centre = person.neutral[template.landmark_vertices].mean(axis=0)
        frames, landmarks = [], []
        for degrees in np.linspace(-yaw, yaw, num_frames):
            rotation = np.array([0, np.radians(degrees), 0], np.float32)
            pose = HeadPose(rotation, np.zeros(3, np.float32))
            position = np.array([0, 0, -focal_length * _CROP_WIDTH_MM], np.float32)
            pose = HeadPose(rotation, position - pose.rotate(centre))
            picture = self.draw(person, pose, light, camera, background)
            frames.append(np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8))
            posed = pose.apply(person.neutral)
            landmarks.append(_project(posed[_seen_landmarks(template, posed, camera)], camera))
        return np.stack(frames), np.stack(landmarks).astype(np.float32)

    def example(self, person: Person, person_index: int, image: int) -> dict[str, object]:
        """One multi-frame image of a person: the features of `datasets/synthetic_faces`.

        Frames are JPEG bytes; everything else is as documented there.
        """
        rng = self._rng(person_index, image)
        head, template = self._head, self._head.template
        # From a selfie's 40 cm to 1.6 m.
        focal_length = np.exp(rng.uniform(np.log(1.8), np.log(7.0)))
        distance = focal_length * _CROP_WIDTH_MM
        camera = PerspectiveCamera(
            focal_length * _CROP_SHARE * SOURCE_SIZE, SOURCE_SIZE, SOURCE_SIZE
        )
        centre = person.neutral[template.landmark_vertices].mean(axis=0)
        count = self._settings.num_frames
        poses = sample_poses(rng, count, distance, centre, spread=6.0)
        lights = sample_lights(rng, count)
        background = sample_background(rng, SOURCE_SIZE)
        development = sample_development(rng)
        activations = [sample_expression(rng, template.blendshape_names) for _ in range(count)]
        frames = [
            self._frame(person, activation, pose, light, camera, background, development, rng)
            for activation, pose, light in zip(activations, poses, lights)
        ]
        coarse = self._coarse_size
        albedo = head.albedo(person.texture, person.colours["mouth"])
        return {
            **{key: _stacked([frame[key] for frame in frames]) for key in frames[0]},
            "neutral_shape": person.neutral[:coarse],
            "albedo": albedo[:coarse],
            "source_rotation": _stacked([pose.rotation for pose in poses]),
            "source_translation": _stacked([pose.translation for pose in poses]),
            "focal_length": np.float32(camera.focal_length_px),
            "blendshape_activations": _stacked(activations),
            "source_illumination": _stacked([light.illumination for light in lights]),
        }

    def _frame(
        self,
        person: Person,
        activations: np.ndarray,
        pose: HeadPose,
        light: Light,
        camera: PerspectiveCamera,
        background: np.ndarray,
        development: Development,
        rng: np.random.Generator,
    ) -> dict[str, object]:
        head, template = self._head, self._head.template
        vertices = head.deform(person.neutral, activations, person.hair_volume, person.glasses)
        picture, depth = self._renderer.draw(person, vertices, pose, light, camera, background)
        posed = pose.apply(vertices[: template.num_vertices])
        chosen = _seen_landmarks(template, posed, camera)
        truth = _project(posed[chosen], camera)
        occluded = _is_occluded(posed[chosen], truth, depth)
        box = crop_box(truth)
        if rng.random() < _OCCLUDED_SHARE:
            opacity, colours = sample_occluder(
                rng, SOURCE_SIZE, truth.mean(axis=0), box.source_width
            )
            picture += opacity[..., None] * (colours - picture)
            occluded |= _look_up(opacity, truth) > 0.5
        noisy, confidence = detect(truth, occluded, box.source_width, rng)
        transform = crop_box(noisy, size=CROP_SIZE)
        crop = crop_image(degrade(development.apply(picture), rng), transform)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        return {
            "frames": cv2.imencode(".jpg", crop[..., ::-1], quality)[1].tobytes(),
            "landmarks": transform.apply(noisy).astype(np.float32),
            "landmark_confidence": confidence.astype(np.float32),
            "true_landmarks": transform.apply(truth).astype(np.float32),
            "true_landmark_vertices": chosen.astype(np.int32),
            "crop_transform": transform.matrix.astype(np.float32),
        }


def _stacked(values: list) -> object:
    return values if isinstance(values[0], bytes) else np.stack(values)


def _project(points: np.ndarray, camera: PerspectiveCamera) -> np.ndarray:
    scale = camera.focal_length_px / -points[:, 2:]
    return np.array([camera.width, camera.height]) / 2 + scale * points[:, :2] * (1, -1)


def _look_up(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    column, row = np.clip(points.astype(int), 0, np.array(image.shape[1::-1]) - 1).T
    return image[row, column]


def _is_occluded(points: np.ndarray, positions: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """[66] bool: something lies in front of a landmark by more than 6 mm."""
    return -points[:, 2] > _look_up(depth, positions) + 6.0


def _seen_landmarks(
    template: FaceTemplate, posed: np.ndarray, camera: PerspectiveCamera
) -> np.ndarray:
    """Vertices that a detector would mark, [66].

    Detectors put the contour on the visible silhouette, and on the jaw's edge towards the ear on
    the side that is turned to the camera: both are where, of a contour landmark's candidates, the
    one that lies furthest out in the picture is.
    """
    chosen = template.landmark_vertices.astype(int)
    positions = _project(posed, camera)
    middle = positions[chosen[27:36]].mean(axis=0)
    for k, candidates in enumerate(template.contour_candidates):
        outwards = positions[chosen[k]] - middle
        chosen[k] = candidates[np.argmax((positions[candidates] - middle) @ outwards)]
    return chosen
