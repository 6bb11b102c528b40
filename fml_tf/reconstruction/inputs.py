"""From photos or a video of one person to the crops that the network sees."""

import collections
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import tqdm
from absl import logging

from fml_tf.files.images import is_picture, read_image
from fml_tf.files.names import printable
from fml_tf.files.video import Frame, NotAVideoError, check_video, index_frames, read_frames
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.frame_choice import choose_frames, sharpness, usable_frames
from fml_tf.preprocessing.prepare import FaceError, PreparedFrame

Prepare = Callable[[np.ndarray], PreparedFrame]
"""`prepare_image` with all but the image ([H, W, 3] uint8 RGB) given."""

Photo = str | os.PathLike | np.ndarray
"""A path, or [H, W, 3] uint8 RGB."""
Source = Photo | Sequence[Photo]
"""What shows one person: a photo, photos, or the path of a folder of photos or of a video."""

# Frames of a video among which the diverse ones are chosen: the choice compares all pairs.
_MAX_CANDIDATES = 400


@dataclasses.dataclass(frozen=True, eq=False)
class FaceFrames:
    """M frames of one person.

    Attributes:
      names: M file names, or "CLIP:NUMBER" for a video's frames.
      numbers: [M] int32, a video's frame numbers (from 0); for photos, 0 to M − 1.
      crops: [M, S, S, 3] uint8 RGB.
      transforms: M maps from source to crop px.
      landmarks: [M, 66, 2] float32 crop px.
      confidence: [M, 66] float32 in (0, 1].
      dense: [M, 468, 4] float32 of a detector that has them, see `PreparedFrame`.
    """

    names: tuple[str, ...]
    numbers: np.ndarray
    crops: np.ndarray
    transforms: tuple[CropTransform, ...]
    landmarks: np.ndarray
    confidence: np.ndarray
    dense: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class VideoScan:
    """Where the face is in each frame of a video that has one.

    Attributes:
      path: of the video.
      num_frames: how many frames were read.
      transforms: maps from source to crop px by frame number, in the order of the video.
      landmarks: [F, 66, 2] float32 of those frames, crop px.
      confidence: [F, 66] float32, theirs.
      rotations: [F, 3] head poses of those frames, rotation vectors.
      sharpness: [F], see `frame_choice.sharpness`.
      dense: [F, 468, 4] float32 of a detector that has them, see `PreparedFrame`.
    """

    path: pathlib.Path
    num_frames: int
    transforms: dict[int, CropTransform]
    landmarks: np.ndarray
    confidence: np.ndarray
    rotations: np.ndarray
    sharpness: np.ndarray
    dense: np.ndarray | None = None


def is_video(path: str | os.PathLike) -> bool:
    """Whether the content of a file is a video; not that of a picture, nor a folder's.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: neither, or a video that cannot be read.
    """
    if os.path.isdir(path) or is_picture(path):
        return False
    try:
        check_video(path)
    except NotAVideoError:
        raise ValueError(
            f"{printable(path)}: neither an image nor a video that can be read"
        ) from None
    return True


def prepare_photos(source: Source, prepare: Prepare, max_frames: int = 0) -> FaceFrames:
    """Crops one photo, all photos in a folder, or several photos, which show one person.

    Of several, those that are no image or show no usable face are passed over with a warning;
    hidden files and folders inside a folder without one.

    Args:
      source: a photo, a folder, or photos.
      prepare: finds and crops the face of an image.
      max_frames: stop after this many usable photos, of a folder in the order of their names; 0
        takes all.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: not an image, no usable face in the photo, or no usable photo among several.
    """
    # An array of one photo has three axes; of several, four.
    if isinstance(source, np.ndarray) and source.ndim < 4:
        return _frames([_name(source, 0)], range(1), [_prepare_photo(source, prepare)])
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        if not path.is_dir():
            return _frames([_name(path, 0)], range(1), [_prepare_photo(path, prepare)])
        photos = sorted(p for p in path.iterdir() if not (p.is_dir() or p.name.startswith(".")))
        whole = f"{printable(path)}: none of its {len(photos)} files"
    else:
        photos = source
        whole = f"none of {len(photos)} photos"
    names, prepared = [], []
    for number, photo in enumerate(
        tqdm.tqdm(photos, "photos", unit="photo", disable=len(photos) < 2)
    ):
        if max_frames and len(prepared) == max_frames:
            break
        try:
            prepared.append(_prepare_photo(photo, prepare))
            names.append(_name(photo, number))
        except (FileNotFoundError, ValueError) as error:
            logging.warning("skipped: %s", printable(str(error)))
    if not prepared:
        raise ValueError(f"{whole} is a photo with a usable face")
    if len(names) < len(photos) and not max_frames:
        logging.warning("%d of %d files skipped", len(photos) - len(names), len(photos))
    return _frames(names, range(len(names)), prepared)


def scan_video(path: str | os.PathLike, prepare: Prepare, max_frames: int = 0) -> VideoScan:
    """Finds the face in every frame of a video.

    Args:
      path: of the video.
      prepare: finds and crops the face of a frame.
      max_frames: stop after this many frames; 0 reads all.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a video, or one with no usable face in any frame.
    """
    transforms, found, sharpnesses = {}, [], []
    rejected = collections.Counter()
    num_frames = 0
    for number, _, image in read_video(path, max_frames, "finding faces"):
        num_frames = number + 1
        try:
            frame = prepare(image)
        except FaceError as error:
            rejected[error.reason] += 1
            continue
        transforms[number] = frame.transform
        found.append((frame.landmarks, frame.confidence, frame.pose.rotation, frame.dense))
        sharpnesses.append(sharpness(frame.crop))
    if not transforms:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
        raise ValueError(
            f"{printable(path)}: no usable face in any of {num_frames} frames ({reasons})"
        )
    landmarks, confidence, rotations, dense = zip(*found)
    return VideoScan(
        path=pathlib.Path(path),
        num_frames=num_frames,
        transforms=transforms,
        landmarks=np.stack(landmarks),
        confidence=np.stack(confidence),
        rotations=np.stack(rotations),
        sharpness=np.array(sharpnesses),
        dense=_stacked(dense),
    )


def choose_identity_frames(scan: VideoScan, num_frames: int) -> list[int]:
    """Chooses sharp frames whose head poses differ, at most `num_frames`; their numbers."""
    usable = usable_frames(scan.sharpness)
    usable = usable[:: -(-len(usable) // _MAX_CANDIDATES)]
    chosen, _ = choose_frames(scan.rotations[usable], min(num_frames, len(usable)))
    return np.array(list(scan.transforms))[usable[chosen]].tolist()


def cut_frames(scan: VideoScan, numbers: Collection[int]) -> FaceFrames:
    """Cuts the crops of the frames with these numbers out of a scanned video."""
    crops = {
        number: crop_image(image, scan.transforms[number])
        for number, _, image in read_video(scan.path, max(numbers) + 1, "cutting crops")
        if number in numbers
    }
    rows = [row for row, number in enumerate(scan.transforms) if number in crops]
    return FaceFrames(
        names=tuple(f"{printable(scan.path.name)}:{number}" for number in crops),
        numbers=np.array(list(crops), np.int32),
        crops=np.stack(list(crops.values())),
        transforms=tuple(scan.transforms[number] for number in crops),
        landmarks=scan.landmarks[rows],
        confidence=scan.confidence[rows],
        dense=None if scan.dense is None else scan.dense[rows],
    )


def read_video(path: str | os.PathLike, max_frames: int, description: str) -> Iterator[Frame]:
    """`video.read_frames` with a progress bar, cut after `max_frames` (0: all)."""
    total = min(len(index_frames(path).seconds), max_frames or sys.maxsize)
    for frame in tqdm.tqdm(read_frames(path), description, total, unit="frame"):
        if max_frames and frame.number >= max_frames:
            break
        yield frame


def _prepare_photo(photo: Photo, prepare: Prepare) -> PreparedFrame:
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise ValueError(f"a photo is [H, W, 3] uint8 RGB, not {photo.dtype}{photo.shape}")
        return prepare(photo)
    image = read_image(photo)
    try:
        return prepare(image)
    except FaceError as error:
        raise ValueError(f"{photo}: {error}") from error


def _name(photo: Photo, number: int) -> str:
    if isinstance(photo, np.ndarray):
        return f"photo {number}"
    return printable(pathlib.Path(photo).name)


def _frames(names: Collection[str], numbers: range, prepared: list[PreparedFrame]) -> FaceFrames:
    return FaceFrames(
        names=tuple(names),
        numbers=np.array(numbers, np.int32),
        crops=np.stack([frame.crop for frame in prepared]),
        transforms=tuple(frame.transform for frame in prepared),
        landmarks=np.stack([frame.landmarks for frame in prepared]),
        confidence=np.stack([frame.confidence for frame in prepared]),
        dense=_stacked([frame.dense for frame in prepared]),
    )


def _stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The arrays as one; None if one is."""
    return None if any(array is None for array in arrays) else np.stack(arrays)
