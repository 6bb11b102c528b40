"""One clip at a time, from its files to a result that is kept until the data set is whole."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import pickle
import pkgutil
import time

import cv2
import numpy as np

from datasets.voxceleb2_frames.archives import ArchiveError
from datasets.voxceleb2_frames.source import Clip
from datasets.voxceleb2_frames.tracks import TrackError
from fml_tf.mesh.files import atomic_path
from fml_tf.preprocessing.clip import ClipError, ClipSettings, MultiFrameImage, prepare_clip
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.template.loading import load_template

_JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How every clip of a data set is prepared.

    Attributes:
      clip: how clips become multi-frame images.
      detector: a callable that makes the `LandmarkDetector`, as "module:name".
    """

    clip: ClipSettings
    detector: str

    def digest(self) -> str:
        """The same for the same settings only."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    Attributes:
      name: see `Clip.name`.
      source: see `Clip.source`.
      num_images: multi-frame images; 0 where the clip was skipped.
      reason: a few words to count skipped clips by, else None.
      message: one line about it, else None.
      core_seconds: time of a processor that it took.
      path: the file that holds its images, for `load_images`.
    """

    name: str
    source: str
    num_images: int
    reason: str | None
    message: str | None
    core_seconds: float
    path: str


def prepare_once(clip: Clip, preparation: Preparation, folder: str) -> Outcome:
    """Prepares a clip unless its result lies in the folder, and leaves it there.

    The result appears whole or not at all, so that a build that was killed goes on where it was.

    Raises:
      OSError: the result cannot be written, as on a full disk. What is wrong with the clip itself
        is told by its outcome.
    """
    path = pathlib.Path(folder, clip.name, f"{clip.stamp}.pickle")
    if path.is_file():
        with path.open("rb") as file:
            return Outcome(**pickle.load(file), path=str(path))
    _template_landmarks(), _detector(preparation.detector)  # loaded before the clock starts
    start = time.process_time()
    images, reason, message = [], None, None
    try:
        images = prepare_images(clip, preparation)
    except ClipError as error:
        reason, message = error.reason, " ".join(str(error).split())
    summary = {
        "name": clip.name,
        "source": clip.source,
        "num_images": len(images),
        "reason": reason,
        "message": message,
        "core_seconds": time.process_time() - start,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # Two objects, so that a summary is read without its images.
        pickle.dump(summary, file)
        pickle.dump(images, file)
        file.flush()
        os.fsync(file.fileno())  # else its name may outlive a power cut without it
    return Outcome(**summary, path=str(path))


def load_images(path: str) -> list[dict]:
    """The images that `prepare_images` made of a clip, from `Outcome.path`."""
    with open(path, "rb") as file:
        pickle.load(file)
        return pickle.load(file)


def prepare_images(clip: Clip, preparation: Preparation) -> list[dict]:
    """Makes the multi-frame images of a clip: `MultiFrameImage`'s fields, the frames as JPEG files.

    Raises:
      ClipError: the clip gives none, or cannot be read.
      OSError: it cannot be unpacked into the temporary folder.
    """
    try:
        with clip.video_path() as path:
            return [_encode(image) for image in _prepare_file(path, clip, preparation)]
    except ArchiveError as error:
        raise ClipError("damaged archive", str(error)) from error
    except TrackError as error:
        raise ClipError("unreadable face track", str(error)) from error


def _prepare_file(path: str, clip: Clip, preparation: Preparation) -> list[MultiFrameImage]:
    face_track = clip.face_track()
    detector = _detector(preparation.detector)
    try:
        return prepare_clip(path, detector, _template_landmarks(), preparation.clip, face_track)
    except ClipError as error:
        raise ClipError(error.reason, str(error).replace(path, clip.source)) from error
    except (FileNotFoundError, ValueError, RuntimeError, cv2.error) as error:
        # OpenCV and dlib have no list of what damaged files make them raise.
        message = str(error).replace(path, clip.source)
        raise ClipError("unreadable", f"{clip.source}: {message}") from error


@functools.cache  # one a process: slow to load, and nothing to send to another
def _detector(name: str) -> LandmarkDetector:
    return pkgutil.resolve_name(name)()


@functools.cache
def _template_landmarks() -> np.ndarray:
    template = load_template("makehuman", "4k", "average")
    return template.mean_shape[template.landmark_vertices]


def _encode(image: MultiFrameImage) -> dict:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    frames = [
        cv2.imencode(".jpg", frame[..., ::-1], quality)[1].tobytes() for frame in image.frames
    ]
    return {**vars(image), "frames": frames}
