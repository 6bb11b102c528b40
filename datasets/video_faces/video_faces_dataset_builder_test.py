"""TFDS's own harness on a folder that holds two people's clips."""

import pathlib
import tempfile

import tensorflow_datasets as tfds

from datasets.video_faces import video_faces_dataset_builder
from datasets.video_faces.dummy_videos import portrait_frames, write_video


class VideoFacesTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = video_faces_dataset_builder.Builder
    SPLITS = {"train": 1, "test": 1}  # noqa: RUF012 - TFDS's own protocol
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # OpenCV and dlib read files by themselves

    @classmethod
    def setUpClass(cls):
        # No video is in the repository: the dummy data is made here.
        cls._videos = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._videos.cleanup)
        cls.EXAMPLE_DIR = cls._videos.name
        for person in ("anna", "berta"):
            folder = pathlib.Path(cls.EXAMPLE_DIR, person)
            folder.mkdir()
            write_video(folder / "00001.mp4", portrait_frames(5))
        super().setUpClass()


if __name__ == "__main__":
    tfds.testing.test_main()
