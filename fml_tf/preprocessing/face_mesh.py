"""MediaPipe's face mesh (Kartynnik et al. 2019), run by LiteRT: 468 points and our 66 of them."""

import dataclasses
import functools
import math
from collections.abc import Mapping

import cv2
import numpy as np

from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.blaze_face import BlazeFaceDetector
from fml_tf.preprocessing.faces import FaceBox, FaceDetector
from fml_tf.preprocessing.landmarks import DetectedFace
from fml_tf.preprocessing.litert import ASSETS, LiteRtModel

NUM_DENSE = 468
# The region that the network looks at: so many times as wide as the face, as in MediaPipe.
_REGION = 1.5
# Least probability, by the network, that the region shows a face.
_MIN_PRESENCE = 0.5
_OUTER_EYE_CORNERS = 33, 263


@dataclasses.dataclass(frozen=True, eq=False)
class DenseFace(DetectedFace):
    """A face with 468 points beside the 66.

    Attributes:
      dense: [468, 3] float32 px: u and v as of `landmarks`, and the depth behind the mean of the
        points, as long as in the picture's plane.
      dense_confidence: [468] float32 in (0, 1].
    """

    dense: np.ndarray
    dense_confidence: np.ndarray


@functools.cache
def _asset(name: str) -> Mapping[str, np.ndarray]:
    with np.load(ASSETS / f"{name}.npz") as archive:
        return dict(archive)


def mesh_topology() -> Mapping[str, np.ndarray]:
    """The mesh: `triangles` [852, 3], and `mirror` [468], where each point goes in the mirror.

    Made by `tools/assets/extract_mediapipe_models.py`.
    """
    return _asset("face_mesh_topology")


class DenseLandmarkDetector:
    """MediaPipe's face mesh, with a confidence from its agreement with itself.

    The network is first asked about the detector's box and then about the region that its own
    points suggest. That region is read four times: a little smaller and larger, in the image and
    in its mirror image. Points are the mean of their readings; their confidence is the probability
    of a face times exp(-s / `confidence_scale`), where s is the root mean square distance of the
    readings from their mean as a share of the region's width.
    """

    _READINGS = (0.9, 1.1)

    def __init__(self, face_detector: FaceDetector | None = None, confidence_scale: float = 0.02):
        """Loads the models.

        Args:
          face_detector: finds the boxes; `BlazeFaceDetector` by default.
          confidence_scale: the spread, in widths of the region, at which confidence is 1/e.

        Raises:
          ImportError: LiteRT is not installed.
        """
        self._face_detector = face_detector or BlazeFaceDetector()
        self._confidence_scale = confidence_scale
        self._model = LiteRtModel("face_landmark")
        self._mirror = mesh_topology()["mirror"]

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[DenseFace]:
        """See `LandmarkDetector.detect`."""
        boxes = sorted(self._face_detector.detect(image, near), key=lambda box: -box.width)
        faces = [self._read(image, box, _MIN_PRESENCE) for box in boxes]
        return [face for face in faces if face is not None]

    def read(self, image: np.ndarray, box: FaceBox) -> DenseFace:
        """See `LandmarkDetector.read`."""
        return self._read(image, box, min_presence=0.0)

    def _read(self, image: np.ndarray, box: FaceBox, min_presence: float) -> DenseFace | None:
        points, presence = self._ask(image, box.scaled(_REGION))
        if presence < min_presence:
            return None
        region = region_about(points)
        readings = []
        for scale in self._READINGS:
            for mirrored in (False, True):
                points, presence = self._ask(image, region.scaled(scale), mirrored)
                if presence < min_presence:
                    return None
                readings.append(points)
        readings = np.stack(readings)
        dense = readings.mean(axis=0)
        distances = np.linalg.norm((readings - dense)[..., :2], axis=-1)
        spread = np.sqrt((distances**2).mean(axis=0)) / region.width
        sure = presence * np.exp(-spread / self._confidence_scale)
        corners, weights = landmark_weights(dense)
        return DenseFace(
            box=box,
            landmarks=combine(dense, corners, weights)[:, :2].astype(np.float32),
            confidence=combine(sure[:, None], corners, weights)[:, 0].astype(np.float32),
            dense=dense.astype(np.float32),
            dense_confidence=sure.astype(np.float32),
        )

    def _ask(
        self, image: np.ndarray, region: FaceBox, mirrored: bool = False
    ) -> tuple[np.ndarray, float]:
        """Points [468, 3] in the image's px and the probability that a region shows a face."""
        patch, to_image = cut_region(image, region, self._model.size)
        outputs = self._model((patch[:, ::-1] if mirrored else patch) / 255)
        points = outputs[0].reshape(NUM_DENSE, 3).astype(np.float64)
        if mirrored:
            points = points[self._mirror] * (-1, 1, 1) + (self._model.size, 0, 0)
        points[:, 2] = (points[:, 2] - points[:, 2].mean()) * np.linalg.norm(to_image[:, 0])
        points[:, :2] = points[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        return points, float(1 / (1 + np.exp(-outputs[1].item())))


def region_about(points: np.ndarray) -> FaceBox:
    """The region to look at again, from points [468, 2 or more] px found in it."""
    points = points[:, :2]
    right, down = points[_OUTER_EYE_CORNERS[1]] - points[_OUTER_EYE_CORNERS[0]]
    roll = math.atan2(down, right)
    turn = _turn(roll)
    upright = points @ turn  # by the inverse
    low, high = upright.min(axis=0), upright.max(axis=0)
    width = _REGION * (high - low).max()
    left, top = turn @ ((low + high) / 2) - width / 2
    return FaceBox(left, top, width, 0.0, roll)


def cut_region(image: np.ndarray, region: FaceBox, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a leaning square out of an image, upright.

    Args:
      image: [H, W, 3] uint8.
      region: the square about its centre, before it leans by its roll.
      size: side of the patch, px.

    Returns:
      The patch [size, size, 3] uint8, and the map [2, 3] from its px to the image's.
    """
    # An upright square about it first, at twice the resolution: it is averaged over areas, while
    # what turns it only interpolates.
    centre, half = region.centre, math.sqrt(0.5) * region.width
    left, top = np.floor(centre - half).astype(int)
    width = max(2, math.ceil(2 * half))
    transform = CropTransform(int(left), int(top), width, min(width, 3 * size))
    square = crop_image(image, transform)
    scale = region.width / size
    to_image = np.empty((2, 3))
    to_image[:, :2] = scale * _turn(region.roll)
    to_image[:, 2] = centre - to_image[:, :2] @ (size / 2, size / 2)
    to_square = transform.scale * to_image
    to_square[:, 2] = transform.apply(to_image[:, 2])
    # OpenCV counts from the middle of the first pixel.
    to_square[:, 2] += to_square[:, :2] @ (0.5, 0.5) - 0.5
    patch = cv2.warpAffine(
        square,
        to_square,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return patch, to_image


def landmark_weights(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which points our 66 landmarks lie between on a face with these points [468, 2 or more].

    `tools/assets/calibrate_landmarks.py` found where they are. A contour landmark has several
    places, and is at the one that is seen furthest out from the nose: detectors mark the
    silhouette, and so does our template.

    Returns:
      Corners [66, 3] and weights [66, 3], see `combine`.
    """
    asset = _asset("face_mesh_landmarks")
    corners, weights = asset["corners"], asset["weights"]
    places = combine(dense[:, :2], corners, weights)
    middle = places[27:36, 0].mean(axis=0)
    outwards = places[:, 0] - middle
    chosen = np.einsum("lcd,ld->lc", places - middle, outwards).argmax(axis=1)
    rows = np.arange(len(chosen))
    return corners[rows, chosen], weights[rows, chosen]


def combine(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [..., C] of three of values [P, C], by corners and weights [..., 3]."""
    return (values[corners] * weights[..., None]).sum(axis=-2)


def _turn(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
