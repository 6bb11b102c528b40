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
from fml_tf.files.atomic import atomic_path
from fml_tf.preprocessing.clip import ClipError, ClipSettings, MultiFrameImage, prepare_clip
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.template.loading import load_template

_JPEG_QUALITY = 95
# Skipped clips that are tried again by the next call: what is behind these may pass.
_TRY_AGAIN = {"unreadable", "damaged archive", "unreadable face track"}
# A clip is begun so often at most. The first time it may be the build that was killed.
_MOST_STARTS = 2


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


@dataclasses.dataclass(frozen=True, slots=True)  # there are a million
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

    The result appears whole or not at all, so that a build that was killed resumes where it was.
    While it is made, a file beside it has a byte for each attempt: a clip that kills its process,
    by a crash in a library, is left out in the end.

    Raises:
      OSError: the clip cannot be read, or the result not be written, as on a full disk. What is
        wrong with the clip itself is in its outcome.
    """
    path = pathlib.Path(folder, clip.name, f"{clip.stamp}.pickle")
    if path.is_file():
        with path.open("rb") as file:
            outcome = Outcome(**pickle.load(file), path=str(path))
        if outcome.reason not in _TRY_AGAIN:
            return outcome
    _template_landmarks(), _detector(preparation.detector)  # loaded before the clock starts
    path.parent.mkdir(parents=True, exist_ok=True)
    started = path.with_suffix(".started")
    begun = started.stat().st_size if started.is_file() else 0
    try:
        started.write_bytes(bytes(begun + 1))
        start = time.process_time()
        images, reason, message = [], None, None
        try:
            if begun >= _MOST_STARTS:
                raise ClipError("killed its worker", f"{clip.source}: its worker died each time")
            images = prepare_images(clip, preparation, path.parent)
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
        _write_result(path, summary, images)
    finally:
        started.unlink(missing_ok=True)
    return Outcome(**summary, path=str(path))


def _write_result(path: pathlib.Path, summary: dict, images: list[dict]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # Two objects, so that a summary is read without its images.
        pickle.dump(summary, file)
        pickle.dump(images, file)


def load_images(path: str) -> list[dict]:
    """The images that `prepare_images` made of a clip, from `Outcome.path`."""
    with open(path, "rb") as file:
        pickle.load(file)
        return pickle.load(file)


def prepare_images(
    clip: Clip, preparation: Preparation, folder: str | os.PathLike | None = None
) -> list[dict]:
    """Makes the multi-frame images of a clip: `MultiFrameImage`'s fields, the frames as JPEG files.

    Args:
      clip: one.
      preparation: how.
      folder: see `Clip.video_path`.

    Raises:
      ClipError: the clip gives none, or is damaged.
      OSError: it cannot be read, or not be unpacked.
    """
    path = ""
    try:
        with clip.video_path(folder) as path:
            images = prepare_clip(
                path,
                _detector(preparation.detector),
                _template_landmarks(),
                preparation.clip,
                clip.face_track(),
            )
            return [_encode(image) for image in images]
    except ArchiveError as error:
        raise ClipError("damaged archive", str(error)) from error
    except TrackError as error:
        raise ClipError("unreadable face track", str(error)) from error
    except ClipError as error:
        raise ClipError(error.reason, str(error).replace(path, clip.source)) from error
    except OSError:
        raise  # the machine's fault
    except Exception as error:
        # OpenCV, dlib and zipfile have no list of what damaged files make them raise.
        message = f"{type(error).__name__}: {error}".replace(path or clip.source, clip.source)
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
