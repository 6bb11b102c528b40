"""MediaPipe's face detectors (BlazeFace, Bazarevsky et al. 2019), run by LiteRT."""

import itertools
import math

import cv2
import numpy as np

from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.litert import LiteRtModel

# The two networks: for faces near the camera and far from it. Each has a grid of anchors for every
# stride (px of its input), with so many anchors a cell; what they regress is in px of the input.
_SHORT_RANGE = ("face_detection_short_range", ((8, 2), (16, 6)))
_FULL_RANGE = ("face_detection_full_range_sparse", ((4, 1),))
# MediaPipe's own thresholds are 0.5 and 0.6; its boxes overlap by this share at least when they are
# of one face.
_MIN_SCORE = 0.5
_MIN_OVERLAP = 0.3
# Where a large image seems to show no face, squares of it are searched for small ones: so many
# times narrower than it, each half over the next.
_SQUARES = 3
# The eyes are the first two of the six points that come with each box.
_RIGHT_EYE, _LEFT_EYE = 2, 3
# The last place of a face is searched in a square so many times as wide: half of a face about a
# centre at its rim.
_NEIGHBOURHOOD = 1.5


class BlazeFaceDetector:
    """Finds faces that look at the camera, away from it to profile, and partly covered ones.

    A whole image is searched for near and for far faces, so that those from about 5 % of its larger
    side to all of it are found, or from 2 % where there is no other. Boxes reach about from the
    brows to the chin, as those of dlib do.
    """

    def __init__(self):
        """Loads the models.

        Raises:
          ImportError: LiteRT is not installed.
        """
        self._near, self._far = _Network(*_SHORT_RANGE), _Network(*_FULL_RANGE)

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[FaceBox]:
        """See `FaceDetector.detect`; scores are in [0.5, 1]."""
        if near is not None:
            found = self._near.search(image, near.scaled(_NEIGHBOURHOOD))
            return [box for box in merge_boxes(found, _MIN_OVERLAP) if near.holds(box.centre)]
        height, width = image.shape[:2]
        side = max(height, width)
        square = FaceBox((width - side) / 2, (height - side) / 2, side, 0.0)
        found = self._near.search(image, square) + self._far.search(image, square)
        return merge_boxes(found or self._search_squares(image), _MIN_OVERLAP)

    def _search_squares(self, image: np.ndarray) -> list[FaceBox]:
        height, width = image.shape[:2]
        side = max(height, width) // _SQUARES
        if side < self._far.size:  # enlarged, it would show nothing new
            return []
        steps = (range(0, max(n - side // 2, 1), side // 2) for n in (width, height))
        squares = [FaceBox(left, top, side, 0.0) for left, top in itertools.product(*steps)]
        return [box for square in squares for box in self._far.search(image, square)]


class _Network:
    """One of the two."""

    def __init__(self, name: str, grids: tuple[tuple[int, int], ...]):
        self._model = LiteRtModel(name)
        self.size = self._model.size
        self._anchors = anchor_centres(self.size, grids)

    def search(self, image: np.ndarray, square: FaceBox) -> list[FaceBox]:
        """All boxes of a square of the image, several a face."""
        left, top = round(square.left), round(square.top)
        transform = CropTransform(left, top, max(1, round(square.width)), self.size)
        if not transform.overlaps(image):
            return []
        regressed, logits = self._model(_letterboxed(image, transform) / 127.5 - 1)
        boxes, scores = decode(regressed, logits, self._anchors)
        found = []
        for points, score in zip(boxes, scores, strict=True):
            (centre_u, centre_v), (box_width, box_height) = transform.invert(points[0]), points[1]
            width = max(box_width, box_height) / transform.scale
            right, down = points[_LEFT_EYE] - points[_RIGHT_EYE]
            roll = math.atan2(down, right)
            box = FaceBox(centre_u - width / 2, centre_v - width / 2, width, float(score), roll)
            found.append(box)
        return found


def anchor_centres(size: int, grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """[A, 2] px: for each (stride, number), `number` anchors in the middle of every cell."""
    centres = []
    for stride, number in grids:
        middles = stride * (np.arange(size // stride) + 0.5)
        v, u = np.meshgrid(middles, middles, indexing="ij")
        centres.append(np.repeat(np.stack([u, v], axis=-1).reshape(-1, 2), number, axis=0))
    return np.concatenate(centres)


def decode(
    regressed: np.ndarray, logits: np.ndarray, anchors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The certain ones of a network's boxes.

    Args:
      regressed: [A, 16] px: the box's centre, its size, six points; all but the size are relative
        to the anchor.
      logits: [A, 1].
      anchors: [A, 2] px.

    Returns:
      Boxes [n, 8, 2] px (centre, size, six points) and scores [n] in [0, 1].
    """
    scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -100, 100)))
    certain = scores >= _MIN_SCORE
    boxes = regressed[certain].reshape(-1, 8, 2).astype(np.float64)
    boxes[:, [0, *range(2, 8)]] += anchors[certain, None]
    return boxes, scores[certain]


def merge_boxes(boxes: list[FaceBox], min_overlap: float) -> list[FaceBox]:
    """One box for each face: the mean, by score, of those that overlap the surest one.

    Boxes overlap by their intersection over their union. MediaPipe's "weighted" suppression.
    """
    merged = []
    boxes = sorted(boxes, key=lambda box: -box.score)
    while boxes:
        group = [box for box in boxes if _overlap(boxes[0], box) >= min_overlap]
        boxes = [box for box in boxes if box not in group]
        scores = np.array([box.score for box in group])
        fields = np.array([(*box.centre, box.width) for box in group])
        u, v, width = scores @ fields / scores.sum()
        surest = group[0]
        merged.append(FaceBox(u - width / 2, v - width / 2, width, surest.score, surest.roll))
    return merged


def _overlap(one: FaceBox, other: FaceBox) -> float:
    low = np.maximum((one.left, one.top), (other.left, other.top))
    high = np.minimum(
        (one.left + one.width, one.top + one.width),
        (other.left + other.width, other.top + other.width),
    )
    common = np.prod(np.maximum(high - low, 0))
    return common / (one.width**2 + other.width**2 - common)


def _letterboxed(image: np.ndarray, transform: CropTransform) -> np.ndarray:
    """A crop that is black beyond the image, where `crop_image` repeats its border."""
    crop = crop_image(image, transform)
    low = np.round(transform.apply((0, 0))).astype(int)
    high = np.round(transform.apply(image.shape[1::-1])).astype(int)
    inside = np.zeros(crop.shape[:2], np.uint8)
    cv2.rectangle(inside, low.tolist(), (high - 1).tolist(), 1, -1)
    return crop * inside[..., None]
