"""From a clip of one person to multi-frame images (paper, section 3.1)."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from fml_tf.preprocessing.cuts import LONGEST_STEP, CutDetector
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.follow import FaceFollower
from fml_tf.preprocessing.frame_choice import choose_frames, sharpness, usable_frames
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector, LandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, FaceError, PreparedFrame, prepare_face
from fml_tf.preprocessing.video import FrameIndex, index_frames, read_chosen_frames


class ClipError(ValueError):
    """A clip that was read but gives no multi-frame image; `reason` counts such clips."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class ClipSettings:
    """How multi-frame images are made of a clip.

    The paper gives M = 4 and the 200 px of `CropSettings.min_width`; all else is ours.

    Attributes:
      num_frames: M, frames of a multi-frame image.
      images_per_clip: most multi-frame images of a clip; their frames are disjoint.
      candidates_per_image: how many frames, evenly spaced over the clip, each image chooses from:
        more make its poses differ more, fewer (M at least) bring more of the clip into the data.
      min_pose_distance: least angle between the head poses of two frames of an image, degrees.
      crop: crop and thresholds of each frame.
    """

    num_frames: int = 4
    images_per_clip: int = 1
    candidates_per_image: int = 16
    min_pose_distance: float = 3.0
    crop: CropSettings = dataclasses.field(default_factory=CropSettings)


@dataclasses.dataclass(frozen=True, eq=False)
class MultiFrameImage:
    """M frames of one person.

    Attributes:
      frames: [M, S, S, 3] uint8 RGB.
      landmarks: [M, 66, 2] float32 crop px.
      landmark_confidence: [M, 66] float32 in [0, 1].
      rotation: [M, 3] float32, head pose of the mean face, rotation vectors in camera space.
      frame_numbers: [M] int32, counted from 0 in the video file.
      seconds: [M] float32, when they are shown, since the start of the video.
      crop_transforms: [M, 2, 3] float32, affine maps from source to crop px.
    """

    frames: np.ndarray
    landmarks: np.ndarray
    landmark_confidence: np.ndarray
    rotation: np.ndarray
    frame_numbers: np.ndarray
    seconds: np.ndarray
    crop_transforms: np.ndarray


def prepare_clip(
    path: str | os.PathLike,
    detector: LandmarkDetector,
    template_landmarks: np.ndarray,
    settings: ClipSettings,
    face_track: FaceTrack | None = None,
) -> list[MultiFrameImage]:
    """Makes the multi-frame images of a clip, one or more.

    Args:
      path: video file. If several people or shots are seen, all frames are of one: the largest face
        of a frame is followed while it is seen, and of those so followed the longest seen is taken.
      detector: finds faces and landmarks.
      template_landmarks: [66, 3] mm, see `prepare_image`.
      settings: how.
      face_track: the clip is its stretch of the video, the person the one in its boxes; without
        one, the clip is the whole file.

    Raises:
      FileNotFoundError, VideoError: the file cannot be read.
      ClipError: too few of its frames have a usable face, or the head hardly turns.
    """
    index = index_frames(path)
    people, rejected = _follow_people(
        path, index, detector, template_landmarks, settings, face_track
    )
    frames = max(people.values(), key=len, default=[])
    rejected["another shot or person"] = sum(map(len, people.values())) - len(frames)
    if frames:
        sharp = usable_frames([sharpness(frame.crop) for _, frame in frames])
        rejected["blurred"] = len(frames) - len(sharp)
        frames = [frames[i] for i in sharp]
    if len(frames) < settings.num_frames:
        rejected = +rejected  # without zeros
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.most_common())
        raise ClipError(
            rejected.most_common(1)[0][0] if rejected else "too short",
            f"{path}: {len(frames)} usable frames, fewer than {settings.num_frames}"
            + (f" ({reasons})" if reasons else ""),
        )
    return _choose(path, frames, settings, index.seconds)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedClip:
    """What became of one clip of many.

    Attributes:
      path: the video file.
      images: empty where the clip was skipped.
      reason: a few words to count skipped clips by; None for a good clip.
      message: one line about it; None for a good clip.
    """

    path: str | os.PathLike
    images: list[MultiFrameImage]
    reason: str | None = None
    message: str | None = None


def prepare_clips(
    paths: Iterable[str | os.PathLike],
    template_landmarks: np.ndarray,
    settings: ClipSettings,
    workers: int = 1,
    make_detector: Callable[[], LandmarkDetector] = DlibLandmarkDetector,
) -> Iterator[PreparedClip]:
    """Prepares many clips, in order; a bad one is reported in its place, never raised.

    Args:
      paths: video files.
      template_landmarks: [66, 3] mm, see `prepare_image`.
      settings: how.
      workers: processes. With more than one, the calling script needs the guard
        `if __name__ == "__main__"`.
      make_detector: makes each process's detector; with several workers a function of a module.
    """
    prepare = functools.partial(
        _prepare_or_report, template_landmarks=template_landmarks, settings=settings
    )
    if workers == 1:
        _set_detector(make_detector)
        yield from map(prepare, paths)
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),  # a fork of a process that runs TensorFlow may hang
        initializer=_set_detector,
        initargs=(make_detector,),
    ) as pool:
        yield from pool.map(prepare, paths)


_detector: LandmarkDetector | None = None  # of this process: slow to load, impossible to pickle


def _set_detector(make_detector: Callable[[], LandmarkDetector]) -> None:
    global _detector
    _detector = make_detector()


def _prepare_or_report(
    path: str | os.PathLike, template_landmarks: np.ndarray, settings: ClipSettings
) -> PreparedClip:
    try:
        return PreparedClip(path, prepare_clip(path, _detector, template_landmarks, settings))
    except ClipError as error:
        return PreparedClip(path, [], error.reason, str(error))
    except (OSError, ValueError, cv2.error) as error:
        return PreparedClip(path, [], "unreadable", str(error))


def _follow_people(
    path: str | os.PathLike,
    index: FrameIndex,
    detector: LandmarkDetector,
    template_landmarks: np.ndarray,
    settings: ClipSettings,
    face_track: FaceTrack | None,
) -> tuple[dict[int, list[tuple[int, PreparedFrame]]], collections.Counter]:
    """Looks through a clip: each person's frames with their numbers, and why others are none."""
    looked_at = _evenly_spaced(index.seconds, settings, face_track)
    follower = FaceFollower(detector, settings.crop.min_confidence)
    cuts, wanted = CutDetector(), set(looked_at)
    people, rejected = collections.defaultdict(list), collections.Counter()
    for number, image in read_chosen_frames(path, index, _with_glances(index.seconds, looked_at)):
        if cuts.is_cut(image):
            follower.cut()
        if number not in wanted:
            continue
        try:
            tracked = face_track and _square(face_track.box_at(index.seconds[number]), image)
            face = follower.find(image, tracked)
            frame = prepare_face(image, face, template_landmarks, settings.crop)
            people[follower.person].append((number, frame))
        except FaceError as error:
            rejected[error.reason] += 1
    return people, rejected


def _evenly_spaced(
    seconds: np.ndarray, settings: ClipSettings, face_track: FaceTrack | None
) -> list[int]:
    """Numbers of the frames that faces are looked for in."""
    numbers = np.arange(len(seconds))
    if face_track is not None:
        numbers = numbers[[face_track.covers(second) for second in seconds]]
    wanted = settings.images_per_clip * settings.candidates_per_image
    if len(numbers) <= wanted:
        return numbers.tolist()
    return numbers[np.linspace(0, len(numbers) - 1, wanted).round().astype(int)].tolist()


def _with_glances(seconds: np.ndarray, looked_at: list[int]) -> list[int]:
    """The numbers given and, between them, as many others as it takes to notice cuts."""
    numbers = looked_at[:1]
    for start, end in itertools.pairwise(looked_at):
        for number in range(start + 1, end):
            if seconds[number + 1] - seconds[numbers[-1]] > LONGEST_STEP:
                numbers.append(number)
        numbers.append(end)
    return numbers


def _square(box: np.ndarray, image: np.ndarray) -> FaceBox:
    """The square about a track's box [4], fractions of the image."""
    height, width = image.shape[:2]
    left, top, box_width, box_height = box * (width, height, width, height)
    side = max(box_width, box_height)
    return FaceBox(left + (box_width - side) / 2, top + (box_height - side) / 2, side, 0.0)


def _choose(
    path: str | os.PathLike,
    frames: list[tuple[int, PreparedFrame]],
    settings: ClipSettings,
    seconds: np.ndarray,
) -> list[MultiFrameImage]:
    # Interleaved, so that each image draws on the whole clip and none gets another's leftovers.
    num_images = min(settings.images_per_clip, len(frames) // settings.num_frames)
    images, widest = [], 0.0
    for start in range(num_images):
        candidates = frames[start::num_images]
        rotations = np.stack([frame.pose.rotation for _, frame in candidates])
        chosen, distance = choose_frames(rotations, settings.num_frames)
        widest = max(widest, np.degrees(distance))
        if np.degrees(distance) >= settings.min_pose_distance:
            images.append(_stack([candidates[i] for i in chosen], seconds))
    if not images:
        raise ClipError(
            "head hardly turns",
            f"{path}: the head's poses are at most {widest:.1f} degrees apart,"
            f" less than {settings.min_pose_distance}",
        )
    return images


def _stack(frames: list[tuple[int, PreparedFrame]], seconds: np.ndarray) -> MultiFrameImage:
    prepared = [frame for _, frame in frames]
    return MultiFrameImage(
        frames=np.stack([frame.crop for frame in prepared]),
        landmarks=np.stack([frame.landmarks for frame in prepared]),
        landmark_confidence=np.stack([frame.confidence for frame in prepared]),
        rotation=np.stack([frame.pose.rotation for frame in prepared]),
        frame_numbers=np.array([number for number, _ in frames], np.int32),
        seconds=seconds[[number for number, _ in frames]].astype(np.float32),
        crop_transforms=np.stack([f.transform.matrix for f in prepared]).astype(np.float32),
    )
