"""What surrounds a synthetic face: camera, head pose and light of a clip and of its frames."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from fml_tf.rendering.illumination import ambient_illumination, spherical_harmonics

MAX_YAW_DEGREES = 60.0
MAX_PITCH_DEGREES = 25.0
MAX_ROLL_DEGREES = 20.0


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Rigid pose of a head in camera space: R v + t.

    Attributes:
      rotation: [3] float32 rotation vector, radian.
      translation: [3] float32 mm.
    """

    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Model space [..., 3] mm to camera space."""
        return self.rotate(points) + self.translation

    def rotate(self, directions: np.ndarray) -> np.ndarray:
        """Turns directions [..., 3] into camera space."""
        return directions @ Rotation.from_rotvec(self.rotation).as_matrix().T.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Light:
    """An environment (spherical harmonics) and a key light, which alone casts shadows and gloss.

    Attributes:
      ambient: [9, 3] float32 coefficients of the environment in camera space.
      key_direction: [3] float32 unit vector towards the key light, camera space.
      key_colour: [3] float32 shading where the surface faces the key light.
    """

    ambient: np.ndarray
    key_direction: np.ndarray
    key_colour: np.ndarray

    @property
    def illumination(self) -> np.ndarray:
        """[9, 3] float32: the whole unshadowed diffuse light, projected on nine bands."""
        return self.ambient + _clamped_cosine(self.key_direction)[:, None] * self.key_colour


def _clamped_cosine(direction: np.ndarray) -> np.ndarray:
    """[9] coefficients of max(0, n·direction) [Ramamoorthi and Hanrahan 2001]."""
    band = np.array([np.pi] + [2 * np.pi / 3] * 3 + [np.pi / 4] * 5, np.float32)
    basis = spherical_harmonics(direction.reshape(1, 3, 1)).numpy()
    return band * basis.reshape(9)


def sample_poses(
    rng: np.random.Generator, num_frames: int, distance: float, centre: np.ndarray, spread: float
) -> list[HeadPose]:
    """Draws the head poses of a clip: mostly moderate, frames about a mean of the clip.

    Args:
      distance: of `centre` from the camera, mm.
      centre: [3] model space, the point that lies about the middle of the picture.
      spread: standard deviation of its offset from the middle, mm.
    """
    limits = np.array([MAX_PITCH_DEGREES, MAX_YAW_DEGREES, MAX_ROLL_DEGREES])
    clip = rng.standard_normal(3) * (6, 14, 4)
    poses = []
    for _ in range(num_frames):
        degrees = clip + rng.standard_normal(3) * (7, 20, 5)
        if rng.random() < 0.1:
            degrees[1] = rng.uniform(-MAX_YAW_DEGREES, MAX_YAW_DEGREES)
        pitch, yaw, roll = np.clip(degrees, -limits, limits)
        rotation = Rotation.from_euler("ZYX", (roll, yaw, pitch), degrees=True)
        position = np.append(spread * rng.standard_normal(2), -distance * rng.uniform(0.95, 1.05))
        poses.append(
            HeadPose(
                rotation.as_rotvec().astype(np.float32),
                (position - rotation.apply(centre)).astype(np.float32),
            )
        )
    return poses


def _tint(rng: np.random.Generator, amount: float) -> np.ndarray:
    """A colour of mean one between warm and cool, with a little green or magenta."""
    warm, green = amount * rng.standard_normal(2)
    tint = np.array([1 + warm, 1 + 0.25 * green, 1 - warm])
    return np.clip(tint / tint.mean(), 0.5, 1.6)


def sample_lights(rng: np.random.Generator, num_frames: int) -> list[Light]:
    """Draws the light of a clip: the same for its frames but for some change of strength.

    The camera's white balance and exposure are part of it: for what the light shines on they are
    the same as another light, and the truth stays exact.
    """
    key_share = 0.75 * rng.beta(1.4, 1.6)
    azimuth, elevation = np.radians(45 * rng.standard_normal()), np.radians(rng.normal(28, 22))
    ambient_tint, key_tint = _tint(rng, 0.07), _tint(rng, 0.10)
    slope = rng.standard_normal((9, 1)) * np.array([0] + [0.22] * 3 + [0.08] * 5)[:, None]
    slope[1] += 0.15  # Light comes from above more often than not.
    slope = slope * ambient_tint + rng.standard_normal((9, 3)) * np.array([[0]] + [[0.03]] * 8)
    ambient = (1 - key_share) * (ambient_illumination() * ambient_tint + slope)
    # The mean shading of what faces the camera, before the exposure is set.
    exposure = np.exp(np.clip(0.22 * rng.standard_normal(), -0.6, 0.3))
    exposure *= _tint(rng, 0.08) / (1 - key_share + 0.55 * key_share)
    lights = []
    for _ in range(num_frames):
        turn = np.radians(4 * rng.standard_normal(2))
        a, e = azimuth + turn[0], np.clip(elevation + turn[1], -1.0, 1.4)
        direction = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        strength = exposure * np.exp(0.06 * rng.standard_normal())
        lights.append(
            Light(
                (strength * ambient).astype(np.float32),
                direction.astype(np.float32),
                (strength * key_share * key_tint).astype(np.float32),
            )
        )
    return lights
