import json
import logging
import os
import pathlib
import re
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from video_files import encode, images

from datasets import video_faces
from datasets.video_faces.dummy_videos import portrait_frames, write_video
from datasets.video_faces.video_faces_dataset_builder import VideoFacesConfig
from fml_tf.files.video import (
    VideoError,
    index_frames,
    read_chosen_frames,
    read_frames,
)
from fml_tf.preprocessing.clip import ClipError, ClipSettings, prepare_clip, prepare_clips
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.template.loading import load_template


@pytest.fixture(scope="module")
def detector():
    return DlibLandmarkDetector()


@pytest.fixture(scope="module")
def template_landmarks():
    template = load_template("makehuman", "4k", "average")
    return template.mean_shape[template.landmark_vertices]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """One good clip and one of each fault."""
    folder = tmp_path_factory.mktemp("videos")
    frames = portrait_frames(10)
    write_video(folder / "good.mp4", frames)
    write_video(folder / "short.mp4", frames[:2])
    write_video(folder / "still.mp4", frames[4:5] * 6)
    write_video(folder / "nobody.mp4", [np.roll(f[::-1], i, axis=1) for i, f in enumerate(frames)])
    write_video(folder / "far.mp4", portrait_frames(6, zoom=1.0))
    (folder / "empty.mp4").touch()
    # The header of an MP4 stands at its end, so a cut file has lost it.
    whole = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


def test_frames_are_read_in_order_with_their_numbers(videos):
    index = index_frames(videos / "good.mp4")
    np.testing.assert_allclose(index.seconds, np.arange(10) / 25, atol=1e-6)
    chosen = read_chosen_frames(videos / "good.mp4", index, [0, 3, 6, 9])
    numbers, seconds, frames = zip(*chosen, strict=True)
    assert numbers == (0, 3, 6, 9)
    np.testing.assert_allclose(seconds, np.array(numbers) / 25, atol=1e-6)
    original = portrait_frames(10)
    for number, frame in zip(numbers, frames, strict=True):
        # RGB, not BGR: the suit is orange. Compression costs a few grey levels.
        assert np.abs(frame.astype(int) - original[number]).mean() < 6


def test_rotation_in_the_metadata_is_applied(videos, tmp_path):
    turned = tmp_path / "turned.mp4"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", "-display_rotation", "90", "-i", videos / "good.mp4"]
    subprocess.run([*command, "-c", "copy", turned], check=True)
    upright = next(read_frames(videos / "good.mp4")).image
    frame = next(read_frames(turned)).image
    np.testing.assert_array_equal(frame, cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE))


@pytest.mark.parametrize("name", ["empty.mp4", "cut.mp4"])
def test_unreadable_videos_are_named(videos, name):
    with pytest.raises(VideoError, match=name):
        next(read_frames(videos / name))


def test_missing_videos_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        next(read_frames(tmp_path / "none.mp4"))


def test_a_stream_that_ends_early_gives_what_is_there(videos, tmp_path):
    cut = tmp_path / "cut.avi"
    write_video(cut, portrait_frames(10))  # an AVI's header stands at its start
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    numbers = [frame.number for frame in read_frames(cut)]
    assert numbers == list(range(len(numbers))) and 3 <= len(numbers) < 10


def test_a_clip_becomes_images_of_different_poses(videos, detector, template_landmarks):
    settings = ClipSettings(num_frames=3, images_per_clip=2)
    first, second = prepare_clip(videos / "good.mp4", detector, template_landmarks, settings)
    assert first.frames.shape == (3, 240, 240, 3)
    assert not set(first.frame_numbers) & set(second.frame_numbers)
    frames = images(read_frames(videos / "good.mp4"))
    for image in (first, second):
        # The portrait tilts counter-clockwise: about +z in camera space, 24 degrees in all.
        tilt = np.degrees(image.rotation[:, 2])
        assert tilt[-1] - tilt[0] > 12 and (np.diff(tilt) > 3).all()
        for number, crop, matrix, points in zip(
            image.frame_numbers, image.frames, image.crop_transform, image.landmarks, strict=True
        ):
            warped = cv2.warpAffine(
                frames[number], matrix - [[0, 0, 0.5], [0, 0, 0.5]] + _centre(matrix), (240, 240)
            )
            assert np.abs(warped[20:-20, 20:-20].astype(int) - crop[20:-20, 20:-20]).mean() < 3
            assert points.min() > 0 and points.max() < 240


def _centre(matrix):
    # OpenCV counts from pixel centres: the map between them, of a map between outer corners.
    return np.concatenate([np.zeros((2, 2)), 0.5 * matrix[:, :2].sum(axis=1, keepdims=True)], 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("short.mp4", "too short"),
        ("still.mp4", "head hardly turns"),
        ("nobody.mp4", "no face"),
        ("far.mp4", "face too small"),
    ],
)
def test_why_a_clip_gives_nothing(videos, detector, template_landmarks, name, reason):
    with pytest.raises(ClipError, match=name) as error:
        prepare_clip(videos / name, detector, template_landmarks, ClipSettings())
    assert error.value.reason == reason and "\n" not in str(error.value)


def test_workers_give_what_one_process_gives(videos, template_landmarks):
    paths = [videos / "good.mp4", videos / "empty.mp4"]
    settings = ClipSettings(candidates_per_image=5)
    one, two = (list(prepare_clips(paths, template_landmarks, settings, workers=n)) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert (a.path, a.reason, a.message) == (b.path, b.reason, b.message)
    assert one[1].reason == "unreadable"
    np.testing.assert_array_equal(one[0].images[0].landmarks, two[0].images[0].landmarks)
    np.testing.assert_array_equal(one[0].images[0].frames, two[0].images[0].frames)


def test_a_folder_becomes_a_data_set_that_names_what_was_skipped(videos, tmp_path):
    builder = video_faces.build(videos, tmp_path, clip=ClipSettings(images_per_clip=2))
    assert set(builder.info.splits) == {"train"}  # one person is no test split
    examples = list(builder.as_dataset("train").as_numpy_iterator())
    assert len(examples) == 2
    for example in examples:
        assert example["person_id"] == b"good" and example["clip"] == b"good.mp4"
        assert example["frames"].shape == (4, 240, 240, 3) and example["frames"].std() > 20
        assert example["landmarks"].shape == (4, 66, 2)
        assert example["landmark_confidence"].shape == (4, 66)
    report = json.loads((builder.data_path / "skipped.json").read_text())
    assert report["reasons"] == {
        "not a video": 2,
        "face too small": 1,
        "no face": 1,
        "too short": 1,
        "head hardly turns": 1,
    }
    assert "empty.mp4" in report["clips"]["empty.mp4"]
    assert not list(builder.data_path.parent.glob("clips.*"))


def test_a_folder_is_known_by_its_content_whatever_the_names(videos, tmp_path, caplog):
    folder = tmp_path / os.fsdecode(b"vid\xe9os")
    folder.mkdir()
    names = {"good.mp4": os.fsdecode(b"caf\xe9.mp4"), "cut.mp4": "cut.mp4"}
    for name, new in names.items():
        (folder / new).symlink_to(videos / name)
    (folder / "clip").symlink_to(videos / "good.mp4")
    Image.fromarray(portrait_frames(1)[0]).save(folder / "portrait.mp4", "JPEG")
    (folder / "notes.txt").write_text("words")
    (folder / ".hidden.mp4").write_text("of the system")
    encode(folder / "tilted.mov", portrait_frames(2), rotation={"degrees": 30})
    with caplog.at_level(logging.WARNING):
        builder = video_faces.build(folder, tmp_path / "data", test_fraction=0)
    examples = list(builder.as_dataset("train").as_numpy_iterator())
    assert sorted(example["clip"].decode() for example in examples) == [r"caf\xe9.mp4", "clip"]
    assert {example["person_id"] for example in examples} == {rb"caf\xe9", b"clip"}
    np.testing.assert_array_equal(examples[0]["frames"], examples[1]["frames"])
    report = json.loads((builder.data_path / "skipped.json").read_text())
    assert report["reasons"] == {"not a video": 3, "unreadable": 1}
    assert set(report["clips"]) == {"cut.mp4", "notes.txt", "portrait.mp4", "tilted.mov"}
    assert "rotated by 30 degrees" in report["clips"]["tilted.mov"]
    assert "4 files skipped" in caplog.text


def test_interlaced_clips_of_two_people_stay_apart(tmp_path):
    # Frames of one clip once came from buffers that another had filled.
    anna = portrait_frames(10)
    berta = [frame[..., ::-1] for frame in anna]  # the colours tell them apart
    for name, frames in (("anna", anna), ("berta", berta)):
        encode(tmp_path / f"{name}.mp4", frames, interlaced=True, options={"g": "4"})
    settings = ClipSettings(candidates_per_image=6)
    builder = video_faces.build(tmp_path, tmp_path / "data", settings, test_fraction=0)
    examples = list(builder.as_dataset("train").as_numpy_iterator())
    assert sorted(example["person_id"] for example in examples) == [b"anna", b"berta"]
    for example in examples:
        frames = anna if example["person_id"] == b"anna" else berta
        for number, crop, matrix in zip(
            example["frame_numbers"], example["frames"], example["crop_transform"]
        ):
            warped = cv2.warpAffine(
                frames[number], matrix - [[0, 0, 0.5], [0, 0, 0.5]] + _centre(matrix), (240, 240)
            )
            assert np.abs(warped[20:-20, 20:-20].astype(int) - crop[20:-20, 20:-20]).mean() < 8


def test_only_the_same_request_reuses_a_data_set(videos, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "good.mp4").symlink_to(videos / "good.mp4")
    settings = ClipSettings(candidates_per_image=4)
    built = video_faces.build(folder, tmp_path, clip=settings)
    report = pathlib.Path(built.data_path, "skipped.json")
    stamp = report.stat().st_mtime_ns
    again = video_faces.build(folder, tmp_path, clip=settings)
    assert again.data_path == built.data_path
    assert report.stat().st_mtime_ns == stamp
    other = video_faces.build(folder, tmp_path, clip=ClipSettings(num_frames=2))
    assert other.data_path != built.data_path


def test_people_in_the_exclusion_list_are_left_out(tmp_path):
    for name in ("anna/1.mp4", "anna/2.mp4", "berta/1.mp4", "carla.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write_video(path, portrait_frames(1))
    (tmp_path / "anna" / "notes.txt").write_text("of a person who is to be nowhere")
    assert len(video_faces.find_videos(tmp_path)[0]) == 4
    (tmp_path / "exclude.txt").write_text("# on request\nanna\n\n carla # 2026-11\n")
    assert video_faces.find_videos(tmp_path) == ([tmp_path / "berta/1.mp4"], {})


def test_a_config_can_be_written_in_json():
    config = VideoFacesConfig(name="mine", clip={"num_frames": 2, "crop": {"margin": 1.7}})
    assert config.clip == ClipSettings(num_frames=2, crop=CropSettings(margin=1.7))


def test_a_folder_with_nothing_usable_is_one_clear_error(videos, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "empty.mp4").touch()
    with pytest.raises(FileNotFoundError, match=r"bad: holds no video; .*empty\.mp4: not a video"):
        video_faces.build(folder, tmp_path / "data")
    (folder / "nobody.mp4").symlink_to(videos / "nobody.mp4")
    message = (
        r"bad: no video .*no face: 1, not a video: 1|bad: no video .*not a video: 1, no face: 1"
    )
    with pytest.raises(video_faces.NoUsableClipError, match=message) as e:
        video_faces.build(folder, tmp_path / "data")
    assert "\n" not in str(e.value)
    assert re.search(r"; the first: .*nobody\.mp4", str(e.value))
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none: holds no video$"):
        video_faces.build(tmp_path / "none", tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        video_faces.build(tmp_path / "nowhere", tmp_path / "data")
