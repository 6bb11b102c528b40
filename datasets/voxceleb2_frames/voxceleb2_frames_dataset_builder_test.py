"""TFDS's own harness on a VoxCeleb2 of two people."""

import pathlib
import tempfile

import tensorflow_datasets as tfds

from datasets.voxceleb2_frames import voxceleb2_frames_dataset_builder
from datasets.voxceleb2_frames.dummy_voxceleb2 import write_dummy


class VoxCeleb2FramesTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = voxceleb2_frames_dataset_builder.Builder
    SPLITS = {"train": 1, "test": 1}  # noqa: RUF012 - TFDS's own protocol
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # OpenCV, dlib and Beam read files by themselves

    @classmethod
    def setUpClass(cls):
        # No video is in the repository: the dummy data is made here.
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)
        cls.EXAMPLE_DIR = cls._folder.name
        write_dummy(pathlib.Path(cls.EXAMPLE_DIR))
        super().setUpClass()


if __name__ == "__main__":
    tfds.testing.test_main()
