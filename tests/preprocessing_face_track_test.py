"""Tracks that come with a data set: between their times, and as what tells the person of a clip."""

import numpy as np
import pytest

from datasets.video_faces.dummy_videos import portrait_frames, write_video
from fml_tf.preprocessing.clip import ClipError, ClipSettings, prepare_clip
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.template.loading import load_template

FPS = 25
SETTINGS = ClipSettings(num_frames=2, candidates_per_image=6, crop=CropSettings(min_width=120))


def test_between_its_times_a_box_moves_evenly():
    track = FaceTrack([2.0, 3.0], [[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.5, 0.2]])
    np.testing.assert_allclose(track.box_at(2.25), [0.15, 0.2, 0.35, 0.35], atol=1e-6)
    np.testing.assert_allclose(track.box_at(9.0), track.boxes[1])
    assert track.covers([1.9, 2.0, 2.5, 3.0, 3.1]).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("seconds", "boxes"),
    [
        ([], np.zeros((0, 4))),
        ([0.0, 1.0], np.ones((1, 4))),
        ([1.0, 1.0], np.ones((2, 4))),
        ([0.0, 1.0], [[0, 0, 1, 1], [0, 0, 0, 1]]),
        ([0.0], [[0, np.nan, 1, 1]]),
    ],
)
def test_a_track_that_says_nothing_is_refused(seconds, boxes):
    with pytest.raises(ValueError, match="face track"):
        FaceTrack(np.array(seconds), np.array(boxes))


@pytest.fixture(scope="module")
def prepared_by():
    template = load_template("makehuman", "4k", "average")
    landmarks = template.mean_shape[template.landmark_vertices]
    detector = DlibLandmarkDetector()

    def prepare(path, face_track):
        return prepare_clip(path, detector, landmarks, SETTINGS, face_track)

    return prepare


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """A small face at the left, a large one at the right, for half a second."""
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    frames = portrait_frames(12)
    small, large = (np.stack([f[::s, ::s] for f in frames]) for s in (2, 1))
    canvas = np.zeros((12, 480, 720, 3), np.uint8)
    canvas[:, :240, :240], canvas[:, :, 240:] = small, large
    write_video(path, list(canvas))
    return path


def test_of_several_people_a_clip_shows_the_tracked_one_for_the_tracked_time(
    two_people, prepared_by
):
    small = FaceTrack([2 / FPS, 9 / FPS], [[0.05, 0.05, 0.28, 0.4]] * 2)
    (image,) = prepared_by(two_people, small)
    assert image.frame_numbers.min() >= 2 and image.frame_numbers.max() <= 9
    np.testing.assert_allclose(image.seconds, image.frame_numbers / FPS, atol=1e-4)
    for matrix in image.crop_transform:
        left, top = -matrix[:, 2] / matrix[0, 0]
        assert left < 100 and 240 / matrix[0, 0] < 200 and top < 100


def test_a_track_of_no_face_or_of_another_video_gives_nothing(two_people, prepared_by):
    with pytest.raises(ClipError) as error:
        prepared_by(two_people, FaceTrack([0.0, 0.4], [[0.0, 0.6, 0.3, 0.4]] * 2))
    assert error.value.reason == "no face"
    with pytest.raises(ClipError) as error:
        prepared_by(two_people, FaceTrack([60.0, 68.0], [[0.0, 0.0, 0.3, 0.4]] * 2))
    assert error.value.reason == "too short"
