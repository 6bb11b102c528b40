"""Multi-frame images (paper, section 3.1) from any folder of videos, one person a clip."""

import collections
import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
import pickle
import tempfile
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import tensorflow_datasets as tfds
import tqdm

from datasets.exclusion import FILE_NAME, excluded_people
from fml_tf.data.features import multi_frame_features, values
from fml_tf.files.names import printable
from fml_tf.files.video import NotAVideoError, VideoError, check_video
from fml_tf.preprocessing.clip import ClipSettings, MultiFrameImage, PreparedClip, prepare_clips
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.template.loading import load_template

_JPEG_QUALITY = 95
_DEFAULT_CLIP = ClipSettings()


class NoUsableClipError(ValueError):
    """A folder of videos none of which gives a multi-frame image."""


@dataclasses.dataclass(eq=False)
class VideoFacesConfig(tfds.core.BuilderConfig):
    """What is made of the videos.

    Attributes:
      clip: how clips become multi-frame images. A dict of its fields will do, so that
        the flag `--config` of `tfds build` can hold them.
      test_fraction: share of the people that make up the split `test`, at least one person where
        there are several, 0 for no such split. 21 k of 404 k images in the paper.
      workers: processes that prepare clips; does not change the result.
    """

    clip: ClipSettings = dataclasses.field(default_factory=ClipSettings)
    test_fraction: float = 0.05
    workers: int = 1

    def __post_init__(self):
        if isinstance(self.clip, dict):
            crop = CropSettings(**self.clip.get("crop", {}))
            self.clip = ClipSettings(**{**self.clip, "crop": crop})


class Builder(tfds.core.GeneratorBasedBuilder):
    """Reads videos from the manual folder; see `build` for the short way."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own protocol
        "1.0.0": "Initial release.",
        "1.1.0": "Faces are followed from frame to frame; the feature `seconds`.",
        "1.2.0": "`crop_transform`, as all data sets name it. Interlaced, anamorphic and damaged"
        " videos are read as they are meant.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put videos into the folder given by `manual_dir`, one person per clip. Clips may lie in"
        " folders: then the first folder is the person, else the clip's name is."
    )
    BUILDER_CONFIGS = [VideoFacesConfig(name="m4", description="One image of 4 frames per clip.")]  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        num_frames = self.builder_config.clip.num_frames
        size = self.builder_config.clip.crop.size
        features = {
            **multi_frame_features(num_frames, size),
            "rotation": values(num_frames, 3),
            "frame_numbers": values(num_frames, dtype=np.int32),
            "seconds": values(num_frames),
            "clip": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def download_and_prepare(self, **kwargs) -> None:
        """See TFDS. Prepared images wait in a temporary folder until the splits are known."""
        self.data_path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.data_path.parent, prefix="clips.") as folder:
            self._waiting = pathlib.Path(folder)
            super().download_and_prepare(**kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        video_dir = pathlib.Path(dl_manager.manual_dir)
        videos, others = find_videos(video_dir)
        clips_of_person, skipped = collections.defaultdict(list), {}
        for number, clip in enumerate(self._prepare(videos)):
            name = _name(clip.path, video_dir)
            if clip.reason is None:
                waiting = self._waiting / str(number)
                examples = [_example(image) for image in clip.images]
                waiting.write_bytes(pickle.dumps((name, examples)))
                clips_of_person[_person(name)].append(waiting)
            else:
                skipped[name] = (clip.reason, printable(clip.message))
        # Videos first: where none is good, the message names the first of them.
        self._report(video_dir, skipped | others, bool(clips_of_person))
        return {
            split: self._generate_examples({person: clips_of_person[person] for person in people})
            for split, people in _split(clips_of_person, self.builder_config.test_fraction).items()
        }

    def _generate_examples(self, clips_of_person: dict[str, list[pathlib.Path]]):
        for person, clips in clips_of_person.items():
            for waiting in clips:
                name, examples = pickle.loads(waiting.read_bytes())
                for index, example in enumerate(examples):
                    yield f"{name}/{index}", example | {"person_id": person, "clip": name}

    def _prepare(self, videos: list[pathlib.Path]) -> Iterator[PreparedClip]:
        config = self.builder_config
        template = load_template("makehuman", "4k", "average")
        template_landmarks = template.mean_shape[template.landmark_vertices]
        workers = min(config.workers, len(videos))
        prepared = prepare_clips(videos, template_landmarks, config.clip, workers)
        return tqdm.tqdm(prepared, total=len(videos), desc="Preparing clips", unit=" clips")

    def _report(
        self, video_dir: pathlib.Path, skipped: dict[str, tuple[str, str]], any_good: bool
    ) -> None:
        reasons = collections.Counter(reason for reason, _ in skipped.values())
        listing = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        if not any_good:
            raise NoUsableClipError(
                f"{video_dir}: no video gives a multi-frame image ({listing});"
                f" the first: {next(iter(skipped.values()))[1]}"
            )
        if skipped:
            logging.warning("%s: %d files skipped (%s)", video_dir, len(skipped), listing)
        report = {
            "reasons": dict(reasons.most_common()),
            "clips": {name: message for name, (_, message) in sorted(skipped.items())},
        }
        (self.data_path / "skipped.json").write_text(json.dumps(report, indent=2) + "\n")


def build(
    video_dir: str | os.PathLike,
    data_dir: str | os.PathLike,
    clip: ClipSettings = _DEFAULT_CLIP,
    test_fraction: float = 0.05,
    workers: int = 1,
) -> tfds.core.DatasetBuilder:
    """Prepares a folder of videos, unless the same videos were with the same settings.

    The set lies under `data_dir`/video_faces in a folder named after the video folder and a digest
    of the settings and of the videos' names and sizes, so that no set is mistaken for another.
    Beside its data, `skipped.json` says which files gave nothing and why.

    Args:
      video_dir: folder of videos, one person a clip; see `find_videos`.
      data_dir: where prepared data sets are kept.
      clip: how clips become multi-frame images.
      test_fraction, workers: see `VideoFacesConfig`.

    Returns:
      The prepared data set's builder.

    Raises:
      FileNotFoundError: no such folder, or no video in it.
      NoUsableClipError: none of the videos gives a multi-frame image.
    """
    video_dir = pathlib.Path(video_dir)
    videos = [(_name(path, video_dir), path.stat().st_size) for path in find_videos(video_dir)[0]]
    made_of = json.dumps([dataclasses.asdict(clip), test_fraction, videos])
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:8]
    config = VideoFacesConfig(
        name=f"{printable(video_dir.resolve().name)}-{digest}",
        description=f"{len(videos)} videos.",
        clip=clip,
        test_fraction=test_fraction,
        workers=workers,
    )
    builder = Builder(data_dir=os.fspath(data_dir), config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=os.fspath(video_dir))
    )
    return builder


def find_videos(
    video_dir: str | os.PathLike,
) -> tuple[list[pathlib.Path], dict[str, tuple[str, str]]]:
    """All videos below a folder, by their content; none of people in its `exclude.txt`.

    Returns:
      The videos, sorted; and of the other files, by their names below the folder, why they are not
      taken: in a few words and in a line. Hidden files and folders are in neither.

    Raises:
      FileNotFoundError: no such folder, or no video left in it.
    """
    video_dir = pathlib.Path(video_dir)
    if not video_dir.is_dir():
        raise FileNotFoundError(f"{video_dir}: no such folder of videos")
    excluded = excluded_people(video_dir)
    videos, others = [], {}
    for path in sorted(video_dir.rglob("*")):
        name = _name(path, video_dir)
        hidden = any(part.startswith(".") for part in path.relative_to(video_dir).parts)
        if hidden or name == FILE_NAME or not path.is_file() or _person(name) in excluded:
            continue
        try:
            check_video(path)
        except NotAVideoError as error:
            others[name] = ("not a video", printable(str(error)))
        except (OSError, VideoError) as error:
            others[name] = ("unreadable", printable(str(error)))
        else:
            videos.append(path)
    if not videos:
        first = f"; of {len(others)} files the first: {min(others.items())[1][1]}" if others else ""
        raise FileNotFoundError(f"{video_dir}: holds no video{first}")
    return videos, others


def _name(path: pathlib.Path, video_dir: pathlib.Path) -> str:
    return printable(path.relative_to(video_dir).as_posix())


def _person(clip: str) -> str:
    # VoxCeleb2 has person/video/clip.mp4; a plain folder has one clip per person.
    folder, inside, _ = clip.partition("/")
    return folder if inside else pathlib.PurePosixPath(clip).stem


def _split(people: Iterable[str], test_fraction: float) -> dict[str, list[str]]:
    # The order is random but depends on the names alone.
    order = sorted(people, key=lambda person: hashlib.sha256(person.encode()).digest())
    if len(order) == 1 or test_fraction == 0:
        return {"train": order}
    num_test = min(max(1, round(test_fraction * len(order))), len(order) - 1)
    return {"train": order[num_test:], "test": order[:num_test]}


def _example(image: MultiFrameImage) -> dict:
    example = dict(vars(image))
    example["frames"] = [
        io.BytesIO(
            cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        )
        for frame in image.frames
    ]
    return example
