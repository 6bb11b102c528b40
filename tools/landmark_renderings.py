"""Renderings with known geometry, for the scripts that calibrate and compare landmark detectors."""

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from fml_tf.preprocessing.landmarks import DetectedFace
from fml_tf.synthesis.generator import SOURCE_SIZE, FrameSettings
from fml_tf.synthesis.workers import available_processes, generate
from fml_tf.template.makehuman import load_makehuman

FRAMES_PER_PERSON = 4
SPOILED = ("as it is", "blurred", "noisy", "dark", "low resolution", "covered")
LANDMARK_PARTS = {
    "contour": slice(0, 17),
    "brows": slice(17, 27),
    "nose bridge": slice(27, 31),
    "nostrils": slice(31, 36),
    "eyes": slice(36, 48),
    "outer lips": slice(48, 60),
    "inner lips": slice(60, 66),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Rendering:
    """A frame of `datasets/synthetic_faces`.

    Attributes:
      image: [240, 240, 3] uint8.
      positions: [4069, 2] px, the template's vertices.
      depths: [4069] mm, theirs.
      landmarks: [66, 2] px, those that show where contour landmarks have slid to.
      mm: of one px at the head's distance.
      angles: yaw, pitch and roll, degrees; yaw > 0 turns to the person's left.
    """

    image: np.ndarray
    positions: np.ndarray
    depths: np.ndarray
    landmarks: np.ndarray
    mm: float
    angles: np.ndarray

    @property
    def yaw(self) -> float:
        """Degrees."""
        return float(self.angles[0])


def render(people: int, seed: int) -> Iterator[Rendering]:
    """Four frames of each of so many people."""
    settings = FrameSettings(num_frames=FRAMES_PER_PERSON, seed=seed)
    for _, (example,) in generate(settings, range(people), 1, available_processes()):
        for frame in range(FRAMES_PER_PERSON):
            yield _rendering(example, frame)


def face_about(faces: Sequence[DetectedFace], landmarks: np.ndarray) -> DetectedFace | None:
    """Of the faces found, the first whose box holds the middle of the true landmarks [66, 2]."""
    middle = landmarks.mean(axis=0)
    return next((face for face in faces if face.box.holds(middle)), None)


def _rendering(example: dict, frame: int) -> Rendering:
    activations = example["blendshape_activations"][frame]
    shape = example["neutral_shape"] + np.tensordot(activations, load_makehuman().blendshapes, 1)
    rotation = Rotation.from_rotvec(example["source_rotation"][frame])
    posed = rotation.apply(shape) + example["source_translation"][frame]
    scale = example["focal_length"] / -posed[:, 2:]
    source = SOURCE_SIZE / 2 + scale * posed[:, :2] * (1, -1)
    crop = example["crop_transform"][frame].astype(np.float64)
    roll, yaw, pitch = rotation.as_euler("ZYX", degrees=True)
    data = np.frombuffer(example["frames"][frame], np.uint8)
    return Rendering(
        image=cv2.imdecode(data, cv2.IMREAD_COLOR_RGB),
        positions=source @ crop[:, :2].T + crop[:, 2],
        depths=-posed[:, 2],
        landmarks=example["true_landmarks"][frame],
        mm=float(1 / (crop[0, 0] * scale[example["true_landmark_vertices"][frame, 30], 0])),
        angles=np.array([yaw, pitch, roll]),
    )


def spoil(
    image: np.ndarray, landmarks: np.ndarray, kind: str, rng: np.random.Generator
) -> np.ndarray:
    """An image [S, S, 3] uint8 made worse in one of `SPOILED`, mildly to badly."""
    if kind == "as it is":
        return image
    image = image.astype(np.float32)
    size = image.shape[1::-1]
    if kind == "blurred":
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 5))
    elif kind == "noisy":
        image += rng.normal(0, rng.uniform(10, 60), image.shape)
    elif kind == "dark":
        image = image * rng.uniform(0.1, 0.4) + rng.normal(0, 4, image.shape)
    elif kind == "low resolution":
        small = tuple(np.round(np.array(size) / rng.uniform(2, 7)).astype(int).tolist())
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), size)
    else:
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        centre, half = rng.uniform(low, high), (high - low) * rng.uniform(0.12, 0.3, 2)
        left, top = np.clip(centre - half, 0, size).astype(int)
        right, bottom = np.clip(centre + half, 0, size).astype(int)
        image[top:bottom, left:right] = rng.uniform(20, 230, 3)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
