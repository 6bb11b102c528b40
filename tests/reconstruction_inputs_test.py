import logging
import os

import cv2
import numpy as np
import pytest
from files_images_test import header_of_png
from video_files import encode

from datasets.video_faces.dummy_videos import write_video
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.preprocessing.head_pose import HeadPose
from fml_tf.preprocessing.prepare import NoFaceError, PreparedFrame, SmallFaceError
from fml_tf.reconstruction.inputs import (
    choose_identity_frames,
    cut_frames,
    is_video,
    prepare_photos,
    read_image,
    scan_video,
)

TRANSFORM = CropTransform(left=4, top=2, source_width=32, size=16)


def prepare(image):
    """Stands in for the detector: the brightness of the image says where its face looks."""
    level = image[..., 0].mean()
    if level < 50:
        raise NoFaceError("no face was found")
    if level > 240:
        raise SmallFaceError("the face is too small")
    return PreparedFrame(
        crop=crop_image(image, TRANSFORM),
        landmarks=np.zeros((66, 2), np.float32),
        confidence=np.ones(66, np.float32),
        transform=TRANSFORM,
        pose=HeadPose(np.array([0.0, level / 100.0, 0.0]), np.zeros(3)),
    )


def picture(level, seed=0):
    noise = np.random.default_rng(seed).integers(-5, 6, (48, 64, 3))
    return np.uint8(level + noise)


def test_one_photo_as_an_array_is_one_photo():
    frames = prepare_photos(picture(100), prepare)
    assert frames.names == ("photo 0",) and frames.crops.shape == (1, 16, 16, 3)
    two = prepare_photos(np.stack([picture(100), picture(120)]), prepare)
    assert two.names == ("photo 0", "photo 1")
    with pytest.raises(NoFaceError):
        prepare_photos(picture(10), prepare)
    with pytest.raises(ValueError, match=r"uint8 RGB, not uint8\(48, 64\)"):
        prepare_photos(picture(100)[..., 0], prepare)


def write_photo(path, level):
    assert cv2.imwrite(str(path), picture(level)[..., ::-1])


@pytest.fixture
def album(tmp_path):
    for name, level in (("b.png", 100), ("a.png", 150), ("dark.png", 10), ("tiny.png", 248)):
        write_photo(tmp_path / name, level)
    (tmp_path / "notes.txt").write_text("not a photo")
    (tmp_path / ".DS_Store").write_text("hidden")
    (tmp_path / "more").mkdir()
    return tmp_path


def test_read_image_is_rgb_and_upright(tmp_path):
    image = picture(100) * np.array([1, 0, 0], np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)

    _, jpeg = cv2.imencode(".jpg", np.full((20, 40, 3), 128, np.uint8))
    # An APP1 segment whose EXIF says orientation 6: the camera was held turned by 90 degrees.
    exif = bytes.fromhex("45786966000049492a0008000000010012010300010000000600000000000000")
    jpeg = jpeg.tobytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert read_image(tmp_path / "turned.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_an_unreadable_photo_is_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jpg: not an image"):
        prepare_photos(path, prepare)
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        prepare_photos(tmp_path / "b.jpg", prepare)


def test_one_photo_is_one_frame(album):
    frames = prepare_photos(album / "a.png", prepare)
    assert frames.names == ("a.png",) and frames.numbers.tolist() == [0]
    np.testing.assert_array_equal(frames.crops[0], crop_image(picture(150), TRANSFORM))
    with pytest.raises(ValueError, match=r"dark\.png: no face was found"):
        prepare_photos(album / "dark.png", prepare)
    with pytest.raises(ValueError, match=r"tiny\.png: the face is too small"):
        prepare_photos(album / "tiny.png", prepare)


def test_a_folder_passes_over_what_is_no_face_and_says_so(album, caplog):
    with caplog.at_level(logging.WARNING):
        frames = prepare_photos(album, prepare)
    assert frames.names == ("a.png", "b.png")
    assert frames.crops.shape == (2, 16, 16, 3) and len(frames.transforms) == 2
    warnings = "\n".join(record.getMessage() for record in caplog.records)
    for told in ("dark.png: no face", "tiny.png: the face", "notes.txt: not an image", "3 of 5"):
        assert told in warnings
    assert ".DS_Store" not in warnings


def test_a_folder_passes_over_a_bomb_a_video_and_a_damaged_photo(album, clip, caplog):
    (album / "bomb.png").write_bytes(header_of_png(40_000, 40_000))
    (album / "c.png").write_bytes((album / "a.png").read_bytes()[:-500])
    name = os.fsdecode(b"caf\xe9.png")
    (album / "b.png").rename(album / name)
    with caplog.at_level(logging.WARNING):
        frames = prepare_photos(album, prepare)
    assert frames.names == ("a.png", r"caf\xe9.png")
    warnings = [record.getMessage() for record in caplog.records]
    for told in ("bomb.png: more than", "c.png: not an image", "clip.mp4: not an image"):
        assert sum(told in warning for warning in warnings) == 1
    assert len(warnings) == 7 and not any("\n" in warning for warning in warnings)


def test_a_folder_passes_over_pipes_and_links_to_nothing(album, caplog):
    os.mkfifo(album / "pipe.png")
    (album / "gone.png").symlink_to(album / "nowhere.png")
    (album / "round.png").symlink_to(album / "round.png")
    with caplog.at_level(logging.WARNING):
        assert prepare_photos(album, prepare).names == ("a.png", "b.png")
    warnings = "\n".join(record.getMessage() for record in caplog.records)
    for told in (
        "pipe.png: not a regular",
        "gone.png: no such file",
        "round.png: no such",
        "6 of 8",
    ):
        assert told in warnings


def test_max_frames_counts_usable_photos(album):
    assert prepare_photos(album, prepare, max_frames=1).names == ("a.png",)


def test_a_folder_without_a_face_is_an_error(album):
    for name in ("a.png", "b.png"):
        (album / name).unlink()
    with pytest.raises(ValueError, match="none of its 3 files"):
        prepare_photos(album, prepare)


def test_is_video_goes_by_the_content(album, clip):
    assert is_video(clip.rename(clip.with_name("clip.jpg")))
    assert not is_video((album / "a.png").rename(album / "a.mp4"))
    assert not is_video(album)
    with pytest.raises(ValueError, match=r"notes\.txt: neither an image nor a video"):
        is_video(album / "notes.txt")
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        is_video(album / "none")


@pytest.fixture
def clip(tmp_path):
    # No face in frames 0 and 3; the head turns with the brightness.
    levels = [10, 100, 110, 10, 120, 200, 130]
    write_video(tmp_path / "clip.mp4", [picture(level, n) for n, level in enumerate(levels)])
    return tmp_path / "clip.mp4"


def test_a_video_is_scanned_and_diverse_frames_are_cut(clip):
    scan = scan_video(clip, prepare)
    assert scan.num_frames == 7
    assert list(scan.transforms) == [1, 2, 4, 5, 6]
    assert choose_identity_frames(scan, 2) == [1, 5]
    assert len(choose_identity_frames(scan, 100)) <= 5
    frames = cut_frames(scan, [1, 5])
    assert frames.names == ("clip.mp4:1", "clip.mp4:5") and frames.numbers.tolist() == [1, 5]
    assert frames.crops.shape == (2, 16, 16, 3)
    assert frames.crops[0].mean() == pytest.approx(100, abs=4)
    assert frames.crops[1].mean() == pytest.approx(200, abs=4)


def test_max_frames_cuts_a_video(clip):
    scan = scan_video(clip, prepare, max_frames=4)
    assert scan.num_frames == 4 and list(scan.transforms) == [1, 2]


def test_a_video_without_a_face_counts_the_reasons(tmp_path, clip):
    write_video(tmp_path / "dark.mp4", [picture(10), picture(10), picture(248)])
    with pytest.raises(ValueError, match=r"dark\.mp4.*3 frames \(no face: 2, face too small: 1"):
        scan_video(tmp_path / "dark.mp4", prepare)
    (tmp_path / "broken.mp4").write_bytes(clip.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        scan_video(tmp_path / "broken.mp4", prepare)


def test_a_video_whose_pictures_change_their_size_is_scanned(tmp_path):
    parts = [
        encode(tmp_path / f"{height}.ts", [np.full((height, 64, 3), 100, np.uint8)] * 3)
        for height in (48, 96)
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    scan = scan_video(path, prepare)
    assert list(scan.transforms) == list(range(6))
    assert cut_frames(scan, [1, 4]).crops.shape == (2, 16, 16, 3)


def test_a_video_of_a_name_that_is_not_utf8(clip):
    clip = clip.rename(clip.with_name(os.fsdecode(b"caf\xe9.mp4")))
    frames = cut_frames(scan_video(clip, prepare), [1])
    assert frames.names == (r"caf\xe9.mp4:1",)
