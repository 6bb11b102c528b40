"""Compares dlib's and MediaPipe's landmarks on renderings, where the truth is known, and on photos.

    python -m tools.measuring.landmark_detectors --people=100 --output=detectors.jpg [PHOTO...]

Errors are in mm at the head's distance (and in px of a crop of 240) of the 49 inner landmarks, on
the pictures in which both detectors find the face, once the constant part of each landmark's
difference is taken away: the median over pictures within 35 degrees of yaw. The constant part has a
table of its own. A photo may be a video: some frames of it are looked at. On photos there is no
truth; what the two detectors differ by on all photos alike says whether their landmarks, which are
calibrated on renderings, mean the same places on people.
"""

import functools
import itertools
import pathlib
import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import cv2
import numpy as np
import tqdm
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.files.images import read_image
from fml_tf.files.video import index_frames, read_chosen_frames
from fml_tf.geometry.landmark_order import MIRROR_66
from fml_tf.preprocessing.blaze_face import BlazeFaceDetector
from fml_tf.preprocessing.face_mesh import DenseFace, DenseLandmarkDetector
from fml_tf.preprocessing.landmarks import DetectedFace, DlibLandmarkDetector, LandmarkDetector
from fml_tf.reconstruction.inputs import is_video
from tools.landmark_renderings import LANDMARK_PARTS, SPOILED, Rendering, face_about, render, spoil

_PEOPLE = flags.DEFINE_integer("people", 100, "Rendered people, four pictures each.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 12, "Of the people.")
_OUTPUT = flags.DEFINE_string("output", None, "Picture to draw: turned renderings, then photos.")
_DETECTORS = {
    "dlib": DlibLandmarkDetector,
    "dlib's landmarks in MediaPipe's boxes": lambda: DlibLandmarkDetector(BlazeFaceDetector()),
    "mediapipe": DenseLandmarkDetector,
}
_YAWS = (0, 15, 30, 45, 61)
_NEARLY_FRONTAL = 35
_INNER = slice(17, None)
_FRAMES_OF_VIDEO = 20
_RIGHT_OUTER_CORNER, _LEFT_OUTER_CORNER, _EYES_MM = 33, 263, 90.0
_TURNED = 20
_DRAWN, _COLUMNS, _TILE = 8, 4, 300


class Measured:
    """What one detector made of n pictures.

    Attributes:
      offsets: [n, 66, 2] mm from the true landmarks; NaN where the face was not found.
      found: [n] bool.
      constant: [66, 2] mm, the median over nearly frontal pictures.
    """

    def __init__(self, faces: list[DetectedFace | None], pictures: list[Rendering]):
        nothing = np.full((66, 2), np.nan)
        self.offsets = np.array(
            [
                nothing if face is None else picture.mm * (face.landmarks - picture.landmarks)
                for face, picture in zip(faces, pictures, strict=True)
            ]
        )
        self.found = np.isfinite(self.offsets[:, 0, 0])
        frontal = np.array([abs(picture.yaw) < _NEARLY_FRONTAL for picture in pictures])
        self.constant = np.median(self.offsets[self.found & frontal], axis=0)

    def errors(self) -> np.ndarray:
        """[n] mm, mean over the inner landmarks without the constant part."""
        return np.linalg.norm((self.offsets - self.constant)[:, _INNER], axis=-1).mean(axis=1)


def report_renderings(detectors: dict[str, LandmarkDetector], pictures: list[Rendering]) -> None:
    """Prints found, errors and constant parts."""
    rng = np.random.default_rng(_SEED.value)
    measured = {}
    for kind in SPOILED:
        images = [spoil(picture.image, picture.landmarks, kind, rng) for picture in pictures]
        for name, detector in detectors.items():
            faces = [
                face_about(detector.detect(image), picture.landmarks)
                for image, picture in zip(tqdm.tqdm(images, f"{name}, {kind}"), pictures)
            ]
            measured[name, kind] = Measured(faces, pictures)
    px = np.mean([1 / picture.mm for picture in pictures])
    yaws = np.array([abs(picture.yaw) for picture in pictures])
    plain = SPOILED[0]
    rows = [
        (f"|yaw| {low} to {high - high % 5}°", plain, (low <= yaws) & (yaws < high))
        for low, high in itertools.pairwise(_YAWS)
    ]
    rows += [(kind, kind, np.full(len(pictures), True)) for kind in SPOILED]
    print("| pictures | | " + " | ".join(f"{name}: found | error" for name in detectors) + " |")
    print("| --- | --- |" + " --- | --- |" * len(detectors))
    for title, kind, mask in rows:
        each = [measured[name, kind] for name in detectors]
        both = mask & np.all([one.found for one in each], axis=0)
        cells = [
            f"{one.found[mask].mean():.1%} | {error:.2f} mm, {px * error:.2f} px"
            for one, error in ((one, one.errors()[both].mean()) for one in each)
        ]
        print(f"| {title} | {mask.sum()} | " + " | ".join(cells) + " |")
    print("\n| constant part, mm | " + " | ".join(detectors) + " |")
    print("| --- |" + " --- |" * len(detectors))
    for part, points in LANDMARK_PARTS.items():
        sizes = [np.linalg.norm(measured[n, plain].constant[points], axis=1) for n in detectors]
        print(f"| {part} | " + " | ".join(f"{size.mean():.2f}" for size in sizes) + " |")


def report_speed(detectors: dict[str, LandmarkDetector], images: list[np.ndarray]) -> None:
    """Prints processor time a picture, in the sizes of crops and of photos."""
    print("\n| processor time a picture | " + " | ".join(detectors) + " |")
    print("| --- |" + " --- |" * len(detectors))
    for side in (240, 960):
        resized = [cv2.resize(image, (side, side)) for image in images]
        times = {name: [] for name in detectors}
        for image in resized:
            for name, detector in detectors.items():  # in turn, so that others disturb all alike
                start = time.process_time()
                detector.detect(image)
                times[name].append(time.process_time() - start)
        cells = [f"{1000 * np.median(times[name]):.0f} ms" for name in detectors]
        print(f"| {side} x {side} px | " + " | ".join(cells) + " |")


def report_photos(
    detectors: dict[str, LandmarkDetector], photos: dict[str, list[np.ndarray]]
) -> None:
    """Prints how many faces each detector finds, and by how much the two differ on all alike."""
    print("\n| photo | faces found: " + " | ".join(detectors) + " |")
    print("| --- |" + " --- |" * len(detectors))
    differences = []
    for path, images in photos.items():
        found = {name: [d.detect(image) for image in images] for name, d in detectors.items()}
        counts = " | ".join(str(sum(map(len, faces))) for faces in found.values())
        print(f"| {pathlib.Path(path).name}, {len(images)} picture(s) | {counts} |")
        pairs = zip(found["mediapipe"], found["dlib"])
        here = [difference(*pair) for faces in pairs for pair in itertools.product(*faces)]
        here = [one for one in here if one is not None]
        if here:
            differences += [np.mean(here, axis=0)]
    both = np.array(differences)
    both = np.concatenate([both, both[:, MIRROR_66] * (-1, 1)])
    sizes = np.linalg.norm(both.mean(axis=0), axis=1)
    parts = [f"{part} {sizes[points].mean():.2f}" for part, points in LANDMARK_PARTS.items()]
    print(f"\ndlib's mean difference from mediapipe over {len(differences)} photos, mm: {parts}")


def difference(dense: DenseFace, sparse: DetectedFace) -> np.ndarray | None:
    """[66, 2] mm from MediaPipe's landmarks to dlib's, upright; None of two faces or turned ones.

    The outer corners of the eyes are taken to be 90 mm apart.
    """
    across = dense.dense[_LEFT_OUTER_CORNER] - dense.dense[_RIGHT_OUTER_CORNER]
    turned = abs(np.degrees(np.arctan2(across[2], across[0]))) > _TURNED
    if turned or not sparse.box.holds(dense.landmarks[27:36].mean(axis=0)):
        return None
    scale, angle = _EYES_MM / np.linalg.norm(across), np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return scale * (sparse.landmarks - dense.landmarks) @ turn.T


def photos_of(path: str) -> list[np.ndarray]:
    """A photo, or some frames of a video."""
    if not is_video(path):
        return [read_image(path)]
    index = index_frames(path)
    chosen = np.linspace(0, len(index.seconds) - 1, _FRAMES_OF_VIDEO).astype(int)
    return [image for _, _, image in read_chosen_frames(path, index, np.unique(chosen).tolist())]


def draw(image: np.ndarray, detectors: dict[str, LandmarkDetector]) -> np.ndarray:
    """The mesh's points (green), and the landmarks of dlib (red) and MediaPipe (blue)."""
    dense = detectors["mediapipe"].detect(image)
    sparse = detectors["dlib"].detect(image)
    middle, width = np.array(image.shape[1::-1]) / 2, min(image.shape[:2])
    for face in (sparse[:1] + dense[:1])[-1:]:
        middle, width = face.box.centre, 2 * face.box.width
    scale = _TILE / width
    move = np.array([[scale, 0, _TILE / 2 - scale * middle[0]], [0, scale, 0]])
    move[1, 2] = _TILE / 2 - scale * middle[1]
    tile = cv2.warpAffine(image, move, (_TILE, _TILE), borderMode=cv2.BORDER_REPLICATE)

    def dots(points: np.ndarray, colour: tuple[int, int, int], radius: int) -> None:
        for u, v in points[:, :2] @ move[:, :2].T + move[:, 2]:
            cv2.circle(tile, (round(u), round(v)), radius, colour, -1, cv2.LINE_AA)

    for face in dense:
        if isinstance(face, DenseFace):
            dots(face.dense, (60, 220, 60), 1)
    for face in sparse:
        dots(face.landmarks, (230, 30, 30), 2)
    for face in dense:
        dots(face.landmarks, (40, 90, 255), 2)
    return tile


def main(argv):
    """Measures, prints and draws."""
    photos = {path: photos_of(path) for path in argv[1:]}
    detectors = {name: make() for name, make in _DETECTORS.items()}
    pictures = list(render(_PEOPLE.value, _SEED.value))
    report_renderings(detectors, pictures)
    report_speed(detectors, [picture.image for picture in pictures[:40]])
    if photos:
        report_photos(detectors, photos)
    if _OUTPUT.value:
        turned = sorted(pictures, key=lambda picture: -abs(picture.yaw))[: 5 * _DRAWN : 5]
        shown = [picture.image for picture in turned] + [images[0] for images in photos.values()]
        tiles = list(map(functools.partial(draw, detectors=detectors), shown))
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
        rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
        with one_line_errors("landmark_detectors"):
            write_image(_OUTPUT.value, np.vstack(rows))


if __name__ == "__main__":
    app.run(main)
