"""Multi-frame images of VoxCeleb2's people (paper, section 3.1)."""

import contextlib
import csv
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import shutil
import traceback
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from fml_tf.data.features import multi_frame_features, values
from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.prepare import CropSettings

# `tfds build` hides our package `datasets` behind Hugging Face's while it loads this file: all of
# ours is therefore imported where it is needed.

_NO_ROOM = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}


@dataclasses.dataclass(eq=False)
class VoxCeleb2FramesConfig(tfds.core.BuilderConfig):
    """What is made of VoxCeleb2.

    Attributes:
      clip: how clips become multi-frame images. A dict of its fields works too, so that the flag
        `--config` of `tfds build` can hold them.
      clips_per_video: at most this many clips of each video, drawn at random; 0 for all.
      test_share_of_dev: share of the people of VoxCeleb2's own dev set who join its test set,
        drawn at random. Its test set alone has 3.2 % of the clips; with 2 % of the others, `test`
        has the paper's share, 21 k of 404 k.
      seed: of both draws.
      detector: a callable that makes a `LandmarkDetector`, as "module:name".
    """

    clip: ClipSettings = dataclasses.field(default_factory=ClipSettings)
    clips_per_video: int = 0
    test_share_of_dev: float = 0.02
    seed: int = 0
    detector: str = "fml_tf.preprocessing.landmarks:DlibLandmarkDetector"

    def __post_init__(self):
        if isinstance(self.clip, dict):
            crop = CropSettings(**self.clip.get("crop", {}))
            self.clip = ClipSettings(**{**self.clip, "crop": crop})


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds `voxceleb2_frames`; `README.md` describes sources, features and commands."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own protocol
        "1.0.0": "First version.",
        "1.1.0": "`crop_transform`, as all data sets name it. Interlaced, anamorphic and damaged"
        " videos are read as they are meant.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "VoxCeleb2 is given out by its makers only (https://mm.kaist.ac.kr/datasets/voxceleb). Put"
        " vox2_meta.csv and the archives of its videos, or what they unpack to, into `manual_dir`."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012
        VoxCeleb2FramesConfig(name="paper", description="M = 4 frames of 240 px, one image a clip.")
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        frames, size = config.clip.num_frames, config.clip.crop.size
        features = {
            **multi_frame_features(frames, size),
            "rotation": values(frames, 3),
            "frame_numbers": values(frames, dtype=np.int32),
            "seconds": values(frames),
            "video_id": tfds.features.Text(),
            "clip_id": tfds.features.Text(),
            "image_number": values(dtype=np.int32),
            "source": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(self._settings()),
        )

    def _settings(self) -> dict:
        fields = dataclasses.asdict(self.builder_config)
        return {name: fields[name] for name in VoxCeleb2FramesConfig.__annotations__}

    def download_and_prepare(self, *, download_config=None, **kwargs) -> None:
        """See TFDS. The clips' results wait beside the data set until it is whole.

        Raises:
          ValueError: there is such a set, of other settings or another manual folder, or with
            people who are to be excluded.
          BlockingIOError: another process is building it.
          SourceError, ArchiveError: the manual folder lacks something.
          NoUsableClipError: no clip gives a multi-frame image.
          OSError: among others a full disk; what is done is kept for the next call.
        """
        self._download_config = download_config or tfds.download.DownloadConfig()
        if self.data_path.exists() and not self._download_config.download_mode.overwrite_dataset:
            self._check_existing()
            logging.warning("%s: already prepared", self.data_path)
            return
        with _sole_builder(pathlib.Path(f"{os.fspath(self.data_path)}.lock")):
            self._build(kwargs)

    def _check_existing(self) -> None:
        from datasets.exclusion import excluded_people

        stored = tfds.core.MetadataDict()
        stored.load_metadata(self.data_path)
        settings = self._settings()
        if manual_dir := self._download_config.manual_dir:
            settings["manual_dir"] = os.path.abspath(manual_dir)
            excluded = excluded_people(manual_dir)
            with (self.data_path / "clips.tsv").open() as file:
                clips = [row["clip"] for row in csv.DictReader(file, dialect="excel-tab")]
            if present := excluded & {clip.split("/")[0] for clip in clips}:
                raise ValueError(
                    f"{self.data_path}: has clips of {min(present)}, who is to be excluded; delete"
                    " it and build it again"
                )
        if differences := ", ".join(_differences(stored, settings)):
            raise ValueError(
                f"{self.data_path}: made with other settings ({differences}); choose another"
                " --name or delete it"
            )

    def _build(self, arguments: dict) -> None:
        self._waiting = pathlib.Path(f"{os.fspath(self.data_path)}.clips")
        try:
            super().download_and_prepare(download_config=self._download_config, **arguments)
        except Exception as error:
            # Beam and TensorFlow wrap what went wrong in errors of their own.
            text = "".join(traceback.format_exception(error))
            if any(reason in text for reason in _NO_ROOM.values()):
                full = (cause for cause in _causes(error) if isinstance(cause, OSError))
                named = (cause.filename for cause in full if cause.errno in _NO_ROOM)
                raise OSError(
                    errno.ENOSPC,
                    "no room left; make some, and the same command resumes from here",
                    next(filter(None, named), os.fspath(self._waiting.parent)),
                ) from error
            raise
        self._check_count()
        leftovers = self._waiting.parent.glob(f"incomplete.*_{self.version}")  # of killed builds
        for folder in (self._waiting, *leftovers):
            shutil.rmtree(folder, ignore_errors=True)

    def _check_count(self) -> None:
        reported = json.loads((self.data_path / "report.json").read_text())["examples"]
        written = {name: split.num_examples for name, split in self.info.splits.items()}
        if written != reported and not self._download_config.max_examples_per_split:
            shutil.rmtree(self.data_path)
            raise RuntimeError(f"{self.data_path}: wrote {written} of {reported} examples")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        from datasets.voxceleb2_frames.assembly import prepare_splits
        from datasets.voxceleb2_frames.preparation import Preparation

        config = self.builder_config
        self.info.metadata["manual_dir"] = os.path.abspath(dl_manager.manual_dir)
        splits = prepare_splits(
            pathlib.Path(dl_manager.manual_dir),
            Preparation(config.clip, config.detector),
            self._waiting,
            pathlib.Path(self.data_path),
            clips_per_video=config.clips_per_video,
            test_share_of_dev=config.test_share_of_dev,
            seed=config.seed,
            beam_options=self._download_config.beam_options,
            beam_runner=self._download_config.beam_runner,
        )
        return {name: self._generate_examples(clips) for name, clips in splits.items()}

    def _generate_examples(self, clips):
        from datasets.voxceleb2_frames.assembly import examples

        return examples(clips)


@contextlib.contextmanager
def _sole_builder(path: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from the same set while the context lasts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                errno.EWOULDBLOCK, "another process is building this set", os.fspath(path)
            ) from error
        yield


def _differences(stored: Mapping, settings: Mapping) -> Iterator[str]:
    for name, value in settings.items():
        before = stored.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _differences(before, value)
        elif before != value:
            yield f"{name} {before}, not {value}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
