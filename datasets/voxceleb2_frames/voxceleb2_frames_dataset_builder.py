"""Multi-frame images of VoxCeleb2's people (paper, section 3.1)."""

import dataclasses
import errno
import os
import pathlib
import shutil
import traceback

import numpy as np
import tensorflow_datasets as tfds

from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.structures import NUM_LANDMARKS

# `tfds build` hides our package `datasets` behind Hugging Face's while it loads this file: all of
# ours is therefore imported where it is needed.

_NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]


@dataclasses.dataclass(eq=False)
class VoxCeleb2FramesConfig(tfds.core.BuilderConfig):
    """What is made of VoxCeleb2.

    Attributes:
      clip: how clips become multi-frame images. A dict of its fields will do, so that the flag
        `--config` of `tfds build` can hold them.
      clips_per_video: at most so many clips of each video, by lot; 0 for all.
      test_share_of_dev: share of the people of VoxCeleb2's own dev set who join its test set, by
        lot. Its test set alone has 3.2 % of the clips; with 2 % of the others, `test` has the
        paper's share, 21 k of 404 k.
      seed: of both lots.
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

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS's own protocol
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
        image = tfds.features.Image(shape=(size, size, 3), encoding_format="jpeg")
        features = {
            "frames": tfds.features.Sequence(image, length=frames),
            "landmarks": _values(frames, NUM_LANDMARKS, 2),
            "landmark_confidence": _values(frames, NUM_LANDMARKS),
            "crop_transforms": _values(frames, 2, 3),
            "rotation": _values(frames, 3),
            "frame_numbers": _values(frames, dtype=np.int32),
            "seconds": _values(frames),
            "person_id": tfds.features.Text(),
            "video_id": tfds.features.Text(),
            "clip_id": tfds.features.Text(),
            "image_number": _values(dtype=np.int32),
            "source": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(
                clip=dataclasses.asdict(config.clip), detector=config.detector
            ),
        )

    def download_and_prepare(self, *, download_config=None, **kwargs) -> None:
        """See TFDS. The clips' results wait beside the data set until it is whole.

        Raises:
          SourceError, ArchiveError: the manual folder lacks something.
          NoUsableClipError: no clip gives a multi-frame image.
          OSError: among others a full disk; what is done is kept for the next call.
        """
        self._download_config = download_config or tfds.download.DownloadConfig()
        self._waiting = pathlib.Path(f"{os.fspath(self.data_path)}.clips")
        try:
            super().download_and_prepare(download_config=self._download_config, **kwargs)
        except Exception as error:
            # Beam and TensorFlow wrap what went wrong in errors of their own.
            text = "".join(traceback.format_exception(error))
            if any(reason in text for reason in _NO_ROOM):
                raise OSError(
                    errno.ENOSPC,
                    "no room left; make some and give the same command again, it goes on from here",
                    os.fspath(self._waiting.parent),
                ) from error
            raise
        leftovers = self._waiting.parent.glob(f"incomplete.*_{self.version}")  # of killed builds
        for folder in (self._waiting, *leftovers):
            shutil.rmtree(folder, ignore_errors=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        from datasets.voxceleb2_frames.assembly import prepare_splits
        from datasets.voxceleb2_frames.preparation import Preparation

        config = self.builder_config
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


def _values(*shape: int, dtype=np.float32) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=dtype)
