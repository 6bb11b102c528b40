"""What clips from the wild do: cuts, several people, uneven time, rotation, files cut short."""

import cv2
import numpy as np
import pytest
from video_files import ffmpeg, images

from datasets.video_faces.dummy_videos import write_video
from fml_tf.files.video import index_frames, read_chosen_frames, read_frames
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.candidates import find_candidates
from fml_tf.preprocessing.clip import ClipError, ClipSettings, prepare_clip
from fml_tf.preprocessing.cuts import CutDetector
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.follow import FaceFollower
from fml_tf.preprocessing.landmarks import DetectedFace, DlibLandmarkDetector
from fml_tf.preprocessing.prepare import NoFaceError
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from fml_tf.template.loading import load_template

SETTINGS = ClipSettings(num_frames=3, candidates_per_image=9)
SIZE = 360


@pytest.fixture(scope="module")
def people():
    """Two clips [18, 360, 360, 3] of different people who turn their heads."""
    generator = FaceGenerator(FrameSettings(seed=5))
    return [generator.turning_clip(index, 18, SIZE, share=0.65)[0] for index in (2, 10)]


@pytest.fixture(scope="module")
def detector():
    return DlibLandmarkDetector()


@pytest.fixture(scope="module")
def template_landmarks():
    template = load_template("makehuman", "4k", "average")
    return template.mean_shape[template.landmark_vertices]


@pytest.fixture
def prepare(detector, template_landmarks, tmp_path):
    def prepare(frames, face_track=None):
        path = frames
        if not isinstance(frames, type(tmp_path)):
            path = tmp_path / "clip.mp4"
            write_video(path, list(frames))
        return prepare_clip(path, detector, template_landmarks, SETTINGS, face_track)

    return prepare


def corners(image):
    """[M, 2] top-left corners of the crops, source px."""
    return -image.crop_transform[:, :, 2] / image.crop_transform[:, 0, 0, None]


@pytest.mark.parametrize("before", [5, 13])
def test_all_frames_are_from_the_longer_side_of_a_cut(people, prepare, before):
    (image,) = prepare(np.concatenate([people[0][:before], people[1][before:]]))
    after_cut = image.frame_numbers >= before
    assert after_cut.all() if before < 9 else not after_cut.any()


def test_a_clip_that_is_cut_all_the_time_gives_nothing(people, prepare):
    frames = np.stack([people[n // 2 % 2][n] for n in range(18)])
    with pytest.raises(ClipError) as error:
        prepare(frames)
    assert error.value.reason == "another shot or person"


def test_another_person_in_the_same_scene_is_never_mixed_in(people, prepare):
    # The head alone is exchanged: no cut of the scene gives it away.
    background = people[0][9].copy()
    frames = []
    for n in range(18):
        frame = background.copy()
        head = slice(60, 290)
        frame[head, head] = people[int(n >= 7)][n][head, head]
        frames.append(frame)
    (image,) = prepare(np.stack(frames))
    assert (image.frame_numbers >= 7).all()


def test_the_large_face_is_followed_past_a_small_one(people, prepare):
    canvas = np.full((18, SIZE, 2 * SIZE, 3), 90, np.uint8)
    canvas[:, :, SIZE:] = people[0]
    canvas[:, 40:280, 60:300] = [cv2.resize(frame, (240, 240)) for frame in people[1]]
    (image,) = prepare(canvas)
    assert (corners(image)[:, 0] > SIZE).all()


def test_a_face_seen_all_the_time_is_preferred_to_one_that_leaves(people, prepare):
    canvas = np.full((18, SIZE, 2 * SIZE, 3), 90, np.uint8)
    canvas[:, :, :SIZE] = people[1][:, 20:-20, 20:-20][:, np.arange(SIZE) * 320 // SIZE][
        :, :, np.arange(SIZE) * 320 // SIZE
    ]  # a little larger, so that it is followed first
    canvas[5:, :, :SIZE] = 90
    canvas[:, :, SIZE:] = people[0]
    (image,) = prepare(canvas)
    assert (corners(image)[:, 0] > SIZE).all() and (image.frame_numbers >= 5).all()


def test_a_track_does_not_reach_over_a_cut(people, prepare):
    track = FaceTrack([0.0, 0.8], [[0.2, 0.2, 0.6, 0.6]] * 2)
    (image,) = prepare(np.concatenate([people[0][:5], people[1][5:]]), track)
    assert (image.frame_numbers >= 5).all()


def test_motion_is_no_cut_and_a_cut_is_no_motion(people):
    cuts = CutDetector()
    assert [cuts.is_cut(frame) for frame in people[0][:6]] == [False] * 6
    assert [cuts.is_cut(frame) for frame in people[1][6:9]] == [True, False, False]


class ScriptedDetector:
    """Finds the faces whose turn it is, look by look."""

    def __init__(self, looks):
        self._looks = iter(looks)
        self._faces = []

    def next_look(self):
        self._faces = next(self._looks)

    def detect(self, image, near=None):
        points = np.random.default_rng(0).uniform(0, 40, (66, 2)).astype(np.float32)
        return [
            DetectedFace(FaceBox(left, 20, 40, 1.0), points + (left, 20), np.ones(66, np.float32))
            for left in self._faces
            if near is None or near.holds(FaceBox(left, 20, 40, 1.0).centre)
        ]


@pytest.mark.parametrize(
    ("looks", "seen"),
    [
        ([[20], [], [20]], [(1, 20), (1, 20)]),
        ([[20], [], [], [20]], [(1, 20), (2, 20)]),
        # With a bystander at 200 px.
        ([[20, 200], [200], [20, 200]], [(1, 20), (1, 20)]),
        ([[20, 200], [200], [200], [200]], [(1, 20), (2, 200), (2, 200)]),
    ],
)
def test_a_face_may_be_missing_for_one_look_only(looks, seen):
    detector = ScriptedDetector(looks)
    follower, found = FaceFollower(detector, 0.5), []
    for _ in looks:
        detector.next_look()
        try:
            face = follower.find(np.full((80, 300, 3), 100, np.uint8))
            found.append((follower.person, face.box.left))
        except NoFaceError:
            pass
    assert found == seen


def test_uneven_time_keeps_times_and_numbers(people, prepare, tmp_path):
    write_video(tmp_path / "even.mp4", list(people[0]))
    uneven = ffmpeg(
        tmp_path / "even.mp4",
        tmp_path / "uneven.mp4",
        *("-vf", "setpts='if(lt(N,12),N*0.04,0.48+(N-12)*0.2)/TB'", "-fps_mode", "vfr"),
        *("-c:v", "libx264", "-g", "6", "-bf", "2"),
    )
    expected = [0.04 * n if n < 12 else 0.48 + 0.2 * (n - 12) for n in range(18)]
    index = index_frames(uneven)
    np.testing.assert_allclose(index.seconds, expected, atol=2e-3)
    (image,) = prepare(uneven)
    np.testing.assert_allclose(image.seconds, np.take(expected, image.frame_numbers), atol=2e-3)
    assert image.frame_numbers[0] < 3 and image.frame_numbers[-1] > 14  # the furthest poses
    track = FaceTrack([0.45, 1.3], [[0.1, 0.1, 0.8, 0.8]] * 2)
    (image,) = prepare(uneven, track)
    assert image.frame_numbers.min() == 12 and image.frame_numbers.max() == 16


def test_jumping_to_a_keyframe_gives_the_frames_that_decoding_all_gives(tmp_path):
    # The number of each frame is written in its brightness, in blocks.
    frames = np.zeros((90, 64, 64, 3), np.uint8)
    for n, frame in enumerate(frames):
        for bit in range(7):
            frame[8 * bit : 8 * bit + 8] = 255 * (n >> bit & 1)
    write_video(tmp_path / "even.mp4", list(frames))
    pace = "setpts='if(lt(N,30),N*0.04,1.2+(N-30)*0.1)/TB'"
    path = ffmpeg(
        tmp_path / "even.mp4",
        tmp_path / "uneven.mp4",
        *("-vf", pace, "-fps_mode", "vfr", "-c:v", "libx264", "-g", "15", "-bf", "3"),
    )
    numbers = [2, 40, 41, 62, 88]
    chosen = images(read_chosen_frames(path, index_frames(path), numbers))
    decoded = images(read_frames(path))
    assert list(chosen) == numbers
    for number, frame in chosen.items():
        np.testing.assert_array_equal(frame, decoded[number])
        bits = frame[4:60:8, 32, 0] > 127
        assert sum(int(bit) << i for i, bit in enumerate(bits)) == number


def test_a_video_that_is_stored_lying_gives_upright_crops(people, prepare, tmp_path):
    lying = [cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE) for frame in people[0]]
    write_video(tmp_path / "lying.mp4", lying)
    turned = ffmpeg(
        tmp_path / "lying.mp4",
        tmp_path / "turned.mp4",
        *("-c", "copy"),
        before=("-display_rotation", "90"),
    )
    track = FaceTrack([0.0, 1.0], [[0.2, 0.15, 0.6, 0.7]] * 2)
    for (image,) in (prepare(turned), prepare(turned, track)):
        yaw = np.degrees(image.rotation[:, 1])
        assert yaw[0] < -10 and yaw[-1] > 10 and np.abs(image.rotation[:, 2]).max() < 0.1
        for number, crop, matrix in zip(image.frame_numbers, image.frames, image.crop_transform):
            left, top = np.round(-matrix[:, 2] / matrix[0, 0]).astype(int)
            transform = CropTransform(left, top, round(240 / matrix[0, 0]), 240)
            upright = crop_image(people[0][number], transform)
            assert np.abs(upright.astype(int) - crop).mean() < 6


def test_a_stream_that_is_cut_short_gives_what_is_there(people, prepare, tmp_path):
    write_video(tmp_path / "whole.mp4", list(people[0]))
    options = ("-c:v", "libx264", "-g", "3", "-movflags", "+faststart")
    cut = ffmpeg(tmp_path / "whole.mp4", tmp_path / "cut.mp4", *options)
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) * 7 // 10])
    (image,) = prepare(cut)
    assert 6 < image.frame_numbers.max() < 16


def test_frames_that_an_edit_list_hides_do_not_count(
    people, detector, template_landmarks, tmp_path
):
    write_video(tmp_path / "whole.mp4", list(people[0]))
    whole = ffmpeg(tmp_path / "whole.mp4", tmp_path / "one_gop.mp4", "-c:v", "libx264", "-g", "100")
    trimmed = ffmpeg(
        whole, tmp_path / "trimmed.mp4", "-c", "copy", before=("-ss", "0.4")
    )  # from frame 10 on
    for decode in (False, True):
        index = index_frames(trimmed, decode)
        np.testing.assert_allclose(index.seconds, np.arange(8) / 25, atol=1e-3)
    candidates, rejected = find_candidates(trimmed, detector, template_landmarks, 9, SETTINGS.crop)
    assert [candidate.number for candidate in candidates] == list(range(8)) and not +rejected
    decoded, original = images(read_frames(trimmed)), images(read_frames(whole))
    for candidate in candidates:
        np.testing.assert_array_equal(decoded[candidate.number], original[10 + candidate.number])
        assert candidate.seconds == pytest.approx(candidate.number / 25, abs=1e-3)
