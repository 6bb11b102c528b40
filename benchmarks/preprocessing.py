"""Speed of preparing clips, against the plain way, and how far apart the crops are.

The plain way decodes and converts every frame and searches each, at full size, for faces. A second
way does the same but searches only the frames that are looked at. All ways read the landmarks
of the same frames, evenly spaced, and encode the same number of crops. The times are of one core.

    python -m benchmarks.preprocessing clip.mp4 other.mov
    python -m benchmarks.preprocessing --synthetic=4

The second renders clips of turning heads, whose true landmarks show which way is more accurate.
"""

import cProfile
import os
import pathlib
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence

from fml_tf import quiet  # noqa: F401  # isort: skip

import cv2
import dlib
import numpy as np
import tqdm
from absl import app, flags

from fml_tf.files.video import index_frames, read_frames
from fml_tf.files.video_writer import even_times, write_video
from fml_tf.preprocessing.candidates import find_candidates
from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, FaceError, PreparedFrame, prepare_image
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from fml_tf.template.loading import load_template

# Small faces are compared, too.
_SETTINGS = ClipSettings(crop=CropSettings(min_width=1))
# Functions of a profile, by file and name, that make up each part; what they call is in them.
_PARTS = {
    "decoding": {("video.py", "read_frames"), ("video.py", "read_chosen_frames")},
    "detection": {("faces.py", "detect"), ("preprocessing.py", "detect")},
    "landmarks": {("landmarks.py", "read")},
    "encoding": {("preprocessing.py", "encode")},
}


class FullSizeDetector:
    """dlib's face detector on images as they are."""

    def __init__(self):
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray, near: FaceBox | None = None) -> list[FaceBox]:
        """See `FaceDetector.detect`."""
        del near
        rectangles, scores, _ = self._detector.run(image, 0, 0.0)
        return [
            FaceBox(r.left(), r.top(), r.width(), s)
            for r, s in zip(rectangles, scores, strict=True)
        ]


class Ways:
    """The ways to prepare a clip: each gives the frames in which it found the face, by number."""

    def __init__(self):
        template = load_template("makehuman", "4k", "average")
        self._template_landmarks = template.mean_shape[template.landmark_vertices]
        self._detector = DlibLandmarkDetector()
        self._at_full_size = FullSizeDetector()
        self._landmarks_at_full_size = DlibLandmarkDetector(self._at_full_size)

    def fast(self, path: pathlib.Path) -> dict[int, PreparedFrame]:
        """The product's."""
        count = _SETTINGS.candidates_per_image
        candidates, _ = find_candidates(
            path, self._detector, self._template_landmarks, count, _SETTINGS.crop
        )
        frames = {candidate.number: candidate.frame for candidate in candidates}
        encode(list(frames.values()))
        return frames

    def plain(self, path: pathlib.Path) -> dict[int, PreparedFrame]:
        """Every frame is searched."""
        return self._plain(path, every_frame=True)

    def plain_looks(self, path: pathlib.Path) -> dict[int, PreparedFrame]:
        """Every frame is decoded, those that are looked at are searched."""
        return self._plain(path, every_frame=False)

    def _plain(self, path: pathlib.Path, every_frame: bool) -> dict[int, PreparedFrame]:
        num_frames = len(index_frames(path).seconds)
        count = min(num_frames, _SETTINGS.candidates_per_image)
        looked_at = set(np.linspace(0, num_frames - 1, count).round().astype(int).tolist())
        frames = {}
        for number, _, image in read_frames(path):
            if number in looked_at:
                try:
                    frames[number] = prepare_image(
                        image,
                        self._landmarks_at_full_size,
                        self._template_landmarks,
                        _SETTINGS.crop,
                    )
                except FaceError:
                    continue
            elif every_frame:
                self._at_full_size.detect(image)
        encode(list(frames.values()))
        return frames


def encode(frames: Sequence[PreparedFrame]) -> None:
    """Encodes the crops of one multi-frame image, as the builders of data sets do."""
    for frame in frames[: _SETTINGS.num_frames]:
        cv2.imencode(".jpg", frame.crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def seconds_of_parts(way: Callable, path: pathlib.Path) -> tuple[dict, dict[str, float]]:
    """What a way makes of a clip, and the core's seconds in each of its parts and in all.

    The profile gives the shares of the parts; what they add up to is timed without it.
    """
    profile = cProfile.Profile(time.process_time)
    start = time.process_time()
    profile.runcall(way, path)
    profiled = time.process_time() - start
    start = time.process_time()
    frames = way(path)
    seconds = {"all": time.process_time() - start}
    stats = pstats.Stats(profile).stats
    for part, functions in _PARTS.items():
        # A function that another one of the same part calls would count twice.
        callers = {name: stats[name][4] for name in stats if _short(name) in functions}
        in_profile = sum(
            caller[3]
            for called_by in callers.values()
            for name, caller in called_by.items()
            if _short(name) not in functions
        )
        seconds[part] = in_profile * seconds["all"] / profiled
    return frames, seconds


def _short(function: tuple[str, int, str]) -> tuple[str, str]:
    return os.path.basename(function[0]), function[2]


def corner_distances(ours: dict, others: dict) -> np.ndarray:
    """How far apart the corners of the crops of the same frames are, crop px: [frames, 2]."""
    return np.array(
        [
            [
                np.linalg.norm(ours[number].transform.apply(others[number].transform.invert(c)) - c)
                for c in ([0, 0], [_SETTINGS.crop.size] * 2)
            ]
            for number in ours.keys() & others.keys()
        ]
    ).reshape(-1, 2)


def landmark_errors(frames: dict[int, PreparedFrame], truth: np.ndarray) -> np.ndarray:
    """[frames, 66, 2] crop px from the true landmarks [n, 66, 2] source px of a clip."""
    return np.array(
        [frame.landmarks - frame.transform.apply(truth[n]) for n, frame in frames.items()]
    ).reshape(-1, *truth.shape[1:])


def render_clips(folder: pathlib.Path, count: int) -> dict[pathlib.Path, np.ndarray]:
    """Writes clips of four seconds of turning heads; their true landmarks [n, 66, 2] px by path."""
    generator = FaceGenerator(FrameSettings())
    truths = {}
    for index in tqdm.trange(count, desc="rendering", unit="clip"):
        frames, truth = generator.turning_clip(index, 100, 640)
        path = folder / f"{index}.mp4"
        write_video(path, even_times(frames, 25))
        truths[path] = truth
    return truths


def report(paths: Sequence[pathlib.Path], truths: dict[pathlib.Path, np.ndarray]) -> None:
    """Prints the figures of all clips together."""
    ways = Ways()
    all_ways = {"fast": ways.fast, "plain": ways.plain, "plain, looks": ways.plain_looks}
    found = {name: {} for name in all_ways}
    seconds = {name: [] for name in all_ways}
    for path in tqdm.tqdm(paths, "measuring", unit="clip"):
        for name, way in all_ways.items():
            found[name][path], parts = seconds_of_parts(way, path)
            seconds[name].append(parts)
    num_frames = sum(len(index_frames(path).seconds) for path in paths)
    print(f"{len(paths)} clips, {num_frames} frames, {_SETTINGS.candidates_per_image} looked at")
    print(f"{'':14s}{'frames/s':>10s}{'s/clip':>8s}", *(f"{part:>10s}" for part in _PARTS), "rest")
    total = {}
    for name, parts in seconds.items():
        total[name] = sum(p["all"] for p in parts)
        shares = [sum(p[part] for p in parts) / total[name] for part in _PARTS]
        columns = " ".join(f"{share:10.0%}" for share in [*shares, 1 - sum(shares)])
        speed, pace = num_frames / total[name], total[name] / len(paths)
        print(f"{name:14s}{speed:10.0f}{pace:8.2f} {columns}")
    for name in ("plain", "plain, looks"):
        print(f"{name} / fast: {total[name] / total['fast']:.1f} times the time")
    distances = np.concatenate(
        [corner_distances(found["fast"][path], found["plain"][path]) for path in paths]
    )
    print(
        f"corners of {len(distances)} crops, fast from plain: median {np.median(distances):.2f} px,"
        f" 95 % {np.quantile(distances, 0.95):.2f} px of {_SETTINGS.crop.size}"
    )
    for name in ("fast", "plain") if truths else ():
        errors = np.concatenate([landmark_errors(found[name][p], t) for p, t in truths.items()])
        errors -= errors.mean(axis=0)  # what the detector calls a point is not what the mesh does
        lengths = np.linalg.norm(errors, axis=-1)
        print(f"landmarks, {name} from truth: mean {lengths.mean():.2f} px, {len(errors)} crops")


def main(argv):
    """Measures the clips that are named, or renders some."""
    cv2.setNumThreads(1)
    paths = [pathlib.Path(name) for name in argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        truths = render_clips(pathlib.Path(folder), flags.FLAGS.synthetic)
        paths += truths
        if not paths:
            raise app.UsageError("name video files, or give --synthetic")
        report(paths, truths)


if __name__ == "__main__":
    flags.DEFINE_integer("synthetic", 0, "Render this many clips, with truth.", lower_bound=0)
    app.run(main)
