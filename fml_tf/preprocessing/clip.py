"""From a clip of one person to multi-frame images (paper, section 3.1)."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np

from fml_tf.preprocessing.candidates import Candidate, find_candidates
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.frame_choice import MIN_SHARPNESS, choose_frames, usable_frames
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector, LandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings


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
      min_sharpness: least sharpness of a frame, as a share of the median of the clip's candidates.
      crop: crop and thresholds of each frame.
    """

    num_frames: int = 4
    images_per_clip: int = 1
    candidates_per_image: int = 16
    min_pose_distance: float = 3.0
    min_sharpness: float = MIN_SHARPNESS
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
      crop_transform: [M, 2, 3] float32, affine maps from source to crop px.
    """

    frames: np.ndarray
    landmarks: np.ndarray
    landmark_confidence: np.ndarray
    rotation: np.ndarray
    frame_numbers: np.ndarray
    seconds: np.ndarray
    crop_transform: np.ndarray


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
    wanted = settings.images_per_clip * settings.candidates_per_image
    candidates, rejected = find_candidates(
        path, detector, template_landmarks, wanted, settings.crop, face_track
    )
    sharpnesses = [candidate.sharpness for candidate in candidates]
    usable = usable_frames(sharpnesses, settings.min_sharpness)
    rejected["blurred"] = len(candidates) - len(usable)
    if len(usable) < settings.num_frames:
        rejected = +rejected  # without zeros
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.most_common())
        raise ClipError(
            rejected.most_common(1)[0][0] if rejected else "too short",
            f"{path}: {len(usable)} usable frames, fewer than {settings.num_frames}"
            + (f" ({reasons})" if reasons else ""),
        )
    images, widest = choose_images([candidates[i] for i in usable], settings)
    if not images:
        raise ClipError(
            "head hardly turns",
            f"{path}: the head's poses are at most {widest:.1f} degrees apart,"
            f" less than {settings.min_pose_distance}",
        )
    return [_stack(image) for image in images]


def choose_images(
    candidates: Sequence[Candidate], settings: ClipSettings
) -> tuple[list[list[Candidate]], float]:
    """Chooses the frames of multi-frame images among usable candidates.

    Args:
      candidates: of one person, in the order of the clip, `settings.num_frames` or more.
      settings: how.

    Returns:
      The images, each of M candidates, none if the head hardly turns; and the largest of the least
      pose distances of what the images would be, degrees.
    """
    # Interleaved, so that each image draws on the whole clip and none gets another's leftovers.
    num_images = min(settings.images_per_clip, len(candidates) // settings.num_frames)
    images, widest = [], 0.0
    for start in range(num_images):
        share = candidates[start::num_images]
        rotations = np.stack([candidate.frame.pose.rotation for candidate in share])
        chosen, distance = choose_frames(rotations, settings.num_frames)
        widest = max(widest, np.degrees(distance))
        if np.degrees(distance) >= settings.min_pose_distance:
            images.append([share[i] for i in chosen])
    return images, widest


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
        initializer=_start_worker,
        initargs=(make_detector,),
    ) as pool:
        yield from pool.map(prepare, paths)


_detector: LandmarkDetector | None = None  # of this process: slow to load, impossible to pickle


def _set_detector(make_detector: Callable[[], LandmarkDetector]) -> None:
    global _detector
    _detector = make_detector()


def _start_worker(make_detector: Callable[[], LandmarkDetector]) -> None:
    cv2.setNumThreads(1)  # else each worker takes all cores
    _set_detector(make_detector)


def _prepare_or_report(
    path: str | os.PathLike, template_landmarks: np.ndarray, settings: ClipSettings
) -> PreparedClip:
    try:
        return PreparedClip(path, prepare_clip(path, _detector, template_landmarks, settings))
    except ClipError as error:
        return PreparedClip(path, [], error.reason, str(error))
    except (OSError, ValueError, cv2.error) as error:
        return PreparedClip(path, [], "unreadable", str(error))


def _stack(image: Sequence[Candidate]) -> MultiFrameImage:
    frames = [candidate.frame for candidate in image]
    return MultiFrameImage(
        frames=np.stack([frame.crop for frame in frames]),
        landmarks=np.stack([frame.landmarks for frame in frames]),
        landmark_confidence=np.stack([frame.confidence for frame in frames]),
        rotation=np.stack([frame.pose.rotation for frame in frames]),
        frame_numbers=np.array([candidate.number for candidate in image], np.int32),
        seconds=np.array([candidate.seconds for candidate in image], np.float32),
        crop_transform=np.stack([f.transform.matrix for f in frames]).astype(np.float32),
    )
