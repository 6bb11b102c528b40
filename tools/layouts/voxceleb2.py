"""Lays out videos as VoxCeleb2's distributors do, to try `datasets/voxceleb2_frames` without it.

Each video, one person's, becomes what they make of one: face tracks (txt) of at most 8 seconds, and
for each a clip of 224 px that shows the track's box (mp4). The video itself goes to `original`.
Synthetic people (`fml_tf/synthesis`) who turn their heads can join; their true landmarks go to
`truth/VIDEO.npy`, [frames, 66, 2] px of the original.

Example:

  python -m tools.layouts.voxceleb2 --videos=my_videos --synthetic=2 --output=voxceleb2
"""

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Sequence

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags
from tqdm import tqdm

from datasets.voxceleb2_frames.dummy_voxceleb2 import write_people
from fml_tf.files.video import VideoError, check_video, read_frames
from fml_tf.files.video_writer import even_times, write_video
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.faces import HogFaceDetector
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings

_VIDEOS = flags.DEFINE_string("videos", None, "Folder of videos, one person each.")
_SYNTHETIC = flags.DEFINE_integer("synthetic", 0, "How many synthetic people join.")
_NUM_TEST = flags.DEFINE_integer("num_test", 1, "How many people, the last, are of the test set.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write, must not exist.", required=True)

_CLIP_SIZE = 224
_FRAMES_PER_SECOND = 25
_MAX_SECONDS = 8
# VoxCeleb2's boxes show the whole head, dlib's go from brows to chin: width of the one over that of
# the other, by eye.
_BOX_SCALE = 1.8
# Frames from one search for a face to the next.
_STRIDE = 5
_SYNTHETIC_SIZE = 480


@dataclasses.dataclass(frozen=True, eq=False)
class Footage:
    """A video in memory.

    Attributes:
      frames: [n] images [H, W, 3] uint8 RGB.
      seconds: [n], when each is shown.
      tracks: of its person's face.
    """

    frames: Sequence[np.ndarray]
    seconds: np.ndarray
    tracks: list[FaceTrack]


def main(_) -> None:
    """Reads the flags and writes."""
    output = pathlib.Path(_OUTPUT.value)
    videos = []
    if _VIDEOS.value:
        videos = find_videos(pathlib.Path(_VIDEOS.value))
    count = len(videos) + _SYNTHETIC.value
    if not count:
        sys.exit("voxceleb2: give --videos, --synthetic or both")
    if output.exists():
        sys.exit(f"voxceleb2: {output} exists")
    ids = [f"id{number:05d}" for number in range(1, count + 1)]
    people = {
        person: "dev" if number < count - _NUM_TEST.value else "test"
        for number, person in enumerate(ids)
    }
    (output / "original").mkdir(parents=True)
    write_people(output, people)
    for number, (person, path) in enumerate(zip(ids, tqdm(videos, desc="videos")), start=1):
        video = f"video{number:06d}"
        shutil.copy(path, output / "original" / f"{video}{path.suffix.lower()}")
        write_clips(output / people[person], person, video, read_footage(path))
    generator = FaceGenerator(FrameSettings())
    for person in tqdm(ids[len(videos) :], desc="synthetic people"):
        number = int(person[2:])
        video = f"synthetic{number:02d}"
        footage, landmarks = render_footage(generator, number)
        write_video(
            output / "original" / f"{video}.mp4", even_times(footage.frames, _FRAMES_PER_SECOND)
        )
        (output / "truth").mkdir(exist_ok=True)
        np.save(output / "truth" / f"{video}.npy", landmarks)
        write_clips(output / people[person], person, video, footage)


def find_videos(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of a folder that are videos, sorted; the others are reported."""
    videos = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            check_video(path)
            videos.append(path)
        except VideoError as error:
            print(f"skipped: {error}", file=sys.stderr)
    return videos


def read_footage(path: pathlib.Path) -> Footage:
    """Reads a video and follows its largest face."""
    _, seconds, frames = zip(*read_frames(path))
    seconds = np.array(seconds)
    detector = HogFaceDetector()
    tracks, times, boxes = [], [], []

    def end_track() -> None:
        if len(times) > 1:
            tracks.append(FaceTrack(np.array(times), np.array(boxes)))
        times.clear()
        boxes.clear()

    for second, frame in zip(seconds[::_STRIDE], frames[::_STRIDE], strict=True):
        faces = detector.detect(frame)
        if not faces or (times and second - times[0] > _MAX_SECONDS):
            end_track()
        if faces:
            face = max(faces, key=lambda face: face.width)
            times.append(second)
            boxes.append(_whole_head(face.left, face.top, face.width, frame))
    end_track()
    return Footage(frames, seconds, tracks)


def render_footage(generator: FaceGenerator, number: int) -> tuple[Footage, np.ndarray]:
    """A synthetic person who turns for two seconds, and the true landmarks [frames, 66, 2] px."""
    count = 2 * _FRAMES_PER_SECOND
    frames, landmarks = generator.turning_clip(number, count, _SYNTHETIC_SIZE)
    seconds = np.arange(count) / _FRAMES_PER_SECOND
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    sides = (high - low).max(axis=1)
    corners = (low + high - sides[:, None]) / 2
    boxes = [_whole_head(*corner, side, frames[0]) for corner, side in zip(corners, sides)]
    return Footage(frames, seconds, [FaceTrack(seconds, np.array(boxes))]), landmarks


def write_clips(folder: pathlib.Path, person: str, video: str, footage: Footage) -> None:
    """Writes txt and mp4 of each track."""
    height, width = footage.frames[0].shape[:2]
    for number, track in enumerate(footage.tracks, start=1):
        ticks = np.arange(
            np.ceil(track.seconds[0] * _FRAMES_PER_SECOND),
            track.seconds[-1] * _FRAMES_PER_SECOND,
            dtype=int,
        )
        boxes = [track.box_at(tick / _FRAMES_PER_SECOND) for tick in ticks]
        lines = [
            f"{tick:06d} \t" + " \t".join(f"{x:.3f}" for x in box)
            for tick, box in zip(ticks, boxes)
        ]
        header = f"Identity  : \t{person}\nReference : \t{video}\nOffset    : \t0\n"
        header += "FV Conf   : \t20.000\t(1)\nASD Conf  : \t5.000\n\nFRAME \tX \tY \tW \tH \n"
        text = folder / "txt" / person / video / f"{number:05d}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(header + "\n".join(lines) + "\n")
        nearest = [int(np.abs(footage.seconds - t / _FRAMES_PER_SECOND).argmin()) for t in ticks]
        crops = []
        for index, (left, top, box_width, _) in zip(nearest, boxes):
            square = (int(left * width), int(top * height), round(box_width * width))
            crops.append(crop_image(footage.frames[index], CropTransform(*square, _CLIP_SIZE)))
        clip = folder / "mp4" / person / video / f"{number:05d}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        write_video(clip, even_times(crops, _FRAMES_PER_SECOND))


def _whole_head(left: float, top: float, width: float, frame: np.ndarray) -> np.ndarray:
    """A square about the face in px, grown to the head: left, top, width, height as fractions."""
    grown = _BOX_SCALE * width
    shift = (grown - width) / 2
    size = np.array(frame.shape[1::-1])
    return np.concatenate([np.array([left - shift, top - shift]) / size, grown / size])


if __name__ == "__main__":
    app.run(main)
