"""What happens to a picture beside the face: background, things in front of it, camera, JPEG."""

import dataclasses

import cv2
import numpy as np


def sample_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A blurred scene [size, size, 3] float32 in [0, 1]: smooth colours, shapes, some texture."""
    cells = int(rng.integers(2, 7))
    vividness = rng.beta(1.2, 2.5)

    def muted(*shape):
        colours = rng.uniform(0.05, 0.95, (*shape, 3))
        grey = rng.uniform(0.05, 0.95, (*shape, 1))
        return (grey + vividness * (colours - grey)).astype(np.float32)

    coarse = muted() + rng.uniform(0.1, 0.6) * (muted(cells, cells) - 0.5)
    half = size // 2
    picture = cv2.resize(coarse, (half, half), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 9)):
        colour = tuple(float(c) for c in muted())
        centre = tuple(int(c) for c in rng.integers(0, half, 2))
        axes = tuple(int(c) for c in rng.integers(4, half // 2, 2))
        if rng.random() < 0.5:
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        else:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(picture, centre, corner, colour, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 10)))
    if rng.random() < 0.5:
        grain = rng.standard_normal((half // 2, half // 2, 1)).astype(np.float32)
        grain = cv2.resize(grain, (half, half), interpolation=cv2.INTER_LINEAR)
        picture += float(rng.uniform(0.01, 0.07)) * grain[..., None]
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 1)


def sample_occluder(
    rng: np.random.Generator, size: int, centre: np.ndarray, face_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """A rounded thing, like a hand or a microphone, that covers a part of the face's rim.

    Args:
      size: of the picture, px.
      centre: [2] of the face, px.
      face_width: px.

    Returns:
      Opacity [size, size] and colours [size, size, 3], float32 in [0, 1].
    """
    angle = rng.uniform(-np.pi / 6, 7 * np.pi / 6)  # From the side or from below.
    at = centre + face_width * rng.uniform(0.35, 0.6) * np.array([np.cos(angle), np.sin(angle)])
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wobble = sum(
        rng.normal(0, 0.35 / k**1.5) * np.cos(k * around + rng.uniform(0, 2 * np.pi))
        for k in range(1, 5)
    )
    radius = face_width * rng.uniform(0.12, 0.26) * np.clip(1 + wobble, 0.4, 1.8)
    outline = at + radius[:, None] * np.stack(
        [np.cos(around), rng.uniform(0.6, 1.6) * np.sin(around)], 1
    )
    opacity = np.zeros((size, size), np.float32)
    cv2.fillPoly(opacity, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    shape = cv2.GaussianBlur(opacity, (0, 0), 0.08 * face_width)
    if rng.random() < 0.5:
        colour = np.array([0.85, 0.6, 0.47]) * rng.uniform(0.35, 1.05)
    else:
        colour = rng.uniform(0.05, 0.9, 3)
    shading = 0.5 + 0.6 * shape + 0.04 * rng.standard_normal() * np.linspace(-1, 1, size)[:, None]
    return cv2.GaussianBlur(opacity, (0, 0), 0.8), (colour * shading[..., None]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Development:
    """What the camera of a clip makes of colours.

    Attributes:
      gamma: exponent of the tone curve.
      saturation: 0 for a picture without colour, 1 for colours as they are.
    """

    gamma: float
    saturation: float

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """[H, W, 3] float32, clipped to [0, 1] before."""
        picture = np.clip(picture, 0, 1) ** np.float32(self.gamma)
        grey = picture.mean(axis=-1, keepdims=True)
        return grey + np.float32(self.saturation) * (picture - grey)


def sample_development(rng: np.random.Generator) -> Development:
    """Draws a camera; now and then one without colours."""
    gamma, saturation = np.exp(0.15 * rng.standard_normal(2))
    return Development(gamma, saturation if rng.random() < 0.97 else 0.0)


def degrade(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lens, sensor and codec: optical or motion blur, low resolution, noise, JPEG.

    Args:
      picture: [H, W, 3] float32 in [0, 1].

    Returns:
      [H, W, 3] uint8.
    """
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.6)))
    elif rng.random() < 0.2:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(
            kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0
        )
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    if rng.random() < 0.25:
        factor = rng.uniform(0.5, 0.9)
        small = (round(width * factor), round(height * factor))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    noise = rng.standard_normal(picture.shape, np.float32)
    if rng.random() < 0.4:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2
    picture = picture + rng.uniform(0.002, 0.03) * noise
    encoded = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        encoded = cv2.imdecode(cv2.imencode(".jpg", encoded, quality)[1], cv2.IMREAD_COLOR)
    return encoded
