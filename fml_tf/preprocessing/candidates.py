"""Which frames of a clip multi-frame images may be made of."""

import collections
import dataclasses
import functools
import itertools
import os

import numpy as np

from fml_tf.files.video import FrameIndex, index_frames, read_chosen_frames
from fml_tf.preprocessing.cuts import LONGEST_STEP, CutDetector
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.follow import FaceFollower
from fml_tf.preprocessing.frame_choice import sharpness
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, FaceError, PreparedFrame, prepare_face


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A frame that shows the clip's person.

    Attributes:
      number: of the frame, from 0 in the video file.
      seconds: when it is shown, since the start of the video.
      frame: crop, landmarks, pose.
      sharpness: of the crop, see `frame_choice.sharpness`.
    """

    number: int
    seconds: float
    frame: PreparedFrame
    sharpness: float


def find_candidates(
    path: str | os.PathLike,
    detector: LandmarkDetector,
    template_landmarks: np.ndarray,
    count: int,
    settings: CropSettings,
    face_track: FaceTrack | None = None,
) -> tuple[list[Candidate], collections.Counter]:
    """Looks for one person's face in frames that are evenly spaced over a clip.

    If several people or shots are seen, the candidates are all of one: the largest face of a frame
    is followed while it is seen, and of those so followed the one seen in most frames is taken.

    Args:
      path: video file.
      detector: finds faces and landmarks.
      template_landmarks: [66, 3] mm, see `prepare_image`.
      count: how many frames to look at.
      settings: crop and thresholds.
      face_track: see `prepare_clip`.

    Returns:
      The candidates in the order of the clip, and how many frames are none, by reason.

    Raises:
      FileNotFoundError, VideoError: the file cannot be read.
    """
    look = functools.partial(
        _look_through, path, detector, template_landmarks, count, settings, face_track
    )
    people, rejected = look(index_frames(path))
    if rejected["cannot be decoded"]:
        people, rejected = look(index_frames(path, decode=True))
    candidates = max(people.values(), key=len, default=[])
    rejected["another shot or person"] = sum(map(len, people.values())) - len(candidates)
    return candidates, rejected


def _look_through(
    path: str | os.PathLike,
    detector: LandmarkDetector,
    template_landmarks: np.ndarray,
    count: int,
    settings: CropSettings,
    face_track: FaceTrack | None,
    index: FrameIndex,
) -> tuple[dict[int, list[Candidate]], collections.Counter]:
    """Everybody's candidates by person, and how many frames are none; as `find_candidates`."""
    looked_at = _evenly_spaced(index.seconds, count, face_track)
    follower = FaceFollower(detector, settings.min_confidence)
    cuts, unseen = CutDetector(), set(looked_at)
    people, rejected = collections.defaultdict(list), collections.Counter()
    for number, seconds, image in read_chosen_frames(
        path, index, _with_glances(index.seconds, looked_at)
    ):
        if cuts.is_cut(image):
            follower.cut()
        if number not in unseen:
            continue
        unseen.remove(number)
        try:
            tracked = face_track and _square(face_track.box_at(seconds), image)
            face = follower.find(image, tracked)
            frame = prepare_face(image, face, template_landmarks, settings)
        except FaceError as error:
            rejected[error.reason] += 1
            continue
        candidate = Candidate(number, seconds, frame, sharpness(frame.crop))
        people[follower.person].append(candidate)
    rejected["cannot be decoded"] = len(unseen)
    return people, rejected


def _evenly_spaced(seconds: np.ndarray, count: int, face_track: FaceTrack | None) -> list[int]:
    """Numbers of the frames that the face is looked for in."""
    numbers = np.arange(len(seconds))
    if face_track is not None:
        numbers = numbers[face_track.covers(seconds)]
    if len(numbers) <= count:
        return numbers.tolist()
    return numbers[np.linspace(0, len(numbers) - 1, count).round().astype(int)].tolist()


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
