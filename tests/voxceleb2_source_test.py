"""VoxCeleb2's archives, tables and tracks: read as they come, and what is missing is named."""

import dataclasses
import io
import os
import random
import zipfile

import numpy as np
import pytest
from video_files import encode, moving_frames

from datasets.voxceleb2_frames.archives import (
    ArchiveError,
    JoinedParts,
    find_archives,
    members,
    read_member,
)
from datasets.voxceleb2_frames.assembly import draw_clips, prepare_splits, split_of
from datasets.voxceleb2_frames.dummy_voxceleb2 import write_people
from datasets.voxceleb2_frames.preparation import Preparation
from datasets.voxceleb2_frames.source import Clip, SourceError, find_clips, read_people
from datasets.voxceleb2_frames.tracks import TrackError, parse_track
from fml_tf.preprocessing.clip import ClipSettings


def _parts(folder, content, sizes, stem="vox2_dev_mp4_part"):
    folder.mkdir(exist_ok=True)
    start = 0
    for suffix, size in zip(("aa", "ab", "ac", "ad"), sizes):
        (folder / f"{stem}{suffix}").write_bytes(content[start : start + size])
        start += size
    return sorted(folder.glob(f"{stem}*"))


def test_joined_parts_read_as_their_concatenation(tmp_path):
    rng = random.Random(0)
    content = rng.randbytes(5000)
    paths = tuple(_parts(tmp_path, content, (1700, 0, 1, 3299)))
    joined, whole = io.BufferedReader(JoinedParts(paths), 64), io.BytesIO(content)
    for _ in range(300):
        offset, whence, count = rng.randrange(5200), rng.choice((0, 2)), rng.randrange(900)
        offset -= 5200 if whence == 2 else 0
        if whence == 2 and offset < -5000:
            continue
        assert joined.seek(offset, whence) == whole.seek(offset, whence)
        assert joined.read(count) == whole.read(count)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "vox2_dev_mp4.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("dev/mp4/id00001/v/00001.mp4", b"first" * 100)
        file.writestr("dev/mp4/id00001/v/00002.mp4", b"second" * 100, zipfile.ZIP_DEFLATED)
        file.mkdir("dev/mp4/id00002")
    return path


def test_members_are_read_by_their_place(archive, tmp_path):
    content = archive.read_bytes()
    paths = _parts(tmp_path / "parts", content, (300, 400, len(content)))
    (parts,) = find_archives(tmp_path / "parts", "mp4")
    assert parts == tuple(map(str, paths))
    for opened in (parts, (str(archive),)):
        first, second = members(opened)
        assert first.name == "dev/mp4/id00001/v/00001.mp4" and read_member(first) == b"first" * 100
        assert read_member(second) == b"second" * 100


def test_a_damaged_member_is_told_from_its_neighbour(archive):
    content = bytearray(archive.read_bytes())
    content[content.index(b"first")] ^= 1
    archive.write_bytes(content)
    first, second = members((str(archive),))
    with pytest.raises(ArchiveError, match=r"vox2_dev_mp4\.zip: .*00001\.mp4: damaged .*CRC"):
        read_member(first)
    assert read_member(second) == b"second" * 100


def test_missing_parts_are_named(archive, tmp_path):
    content = archive.read_bytes()
    paths = _parts(tmp_path / "parts", content, (300, 400, len(content)))
    paths[-1].unlink()
    with pytest.raises(ArchiveError, match=r"partab: .*the last part is missing"):
        list(members(find_archives(tmp_path / "parts", "mp4")[0]))
    paths = _parts(tmp_path / "parts", content, (300, 400, len(content)))
    paths[1].unlink()
    with pytest.raises(ArchiveError, match="partab: missing"):
        find_archives(tmp_path / "parts", "mp4")


def test_a_part_that_is_cut_short_in_the_middle_is_noticed(archive, tmp_path):
    content = archive.read_bytes()
    for cut in (1, 100):
        parts = _parts(tmp_path / "parts", content, (100, 200, len(content)))
        parts[1].write_bytes(content[100 : 300 - cut])
        with pytest.raises(ArchiveError, match="partaa: a part is cut short"):
            list(members(tuple(map(str, parts))))
    shifted = dataclasses.replace(next(members((str(archive),))), header_offset=1)
    with pytest.raises(ArchiveError, match=r"00001\.mp4: damaged \(it does not begin where"):
        read_member(shifted)


def test_encrypted_members_are_refused(archive):
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"vox2_dev_mp4\.zip: .*00001\.mp4: encrypted"):
        list(members((str(archive),)))


_HEADER = "Identity  : \tid00012\nFV Conf   : \t20.230\t(1)\n\nFRAME \tX \tY \tW \tH \n"


def test_tracks_are_in_seconds_and_fractions():
    rows = "000349 \t0.319 \t0.067 \t0.424 \t0.753 \n000351 \t0.3 \t0.1 \t0.4 \t0.7 \n"
    track = parse_track("Reference : \tmy_FRAMEs__\n" + _HEADER + rows)
    np.testing.assert_allclose(track.seconds, [349 / 25, 351 / 25])
    np.testing.assert_allclose(track.boxes[0], [0.319, 0.067, 0.424, 0.753], rtol=1e-6)
    # The box is square in a picture of 16 : 9.
    assert track.boxes[0, 2] * 16 == pytest.approx(track.boxes[0, 3] * 9, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no face track"),
        (_HEADER, "no face track"),
        (_HEADER + "000349 \t0.3 \t0.1 \t0.4\n", "no face track"),
        (_HEADER + "000349 \t0.3 \t0.1 \t0.4 \tnan\n", "no face track"),
        (_HEADER + "2 0.3 0.1 0.4 0.7\n1 0.3 0.1 0.4 0.7\n", "no face track"),
        (_HEADER + "9" * 400 + " 0.3 0.1 0.4 0.7\n", "no face track"),
        (_HEADER + "002316 \t223 \t80 \t130 \t130\n", "in pixels, as VoxCeleb1"),
    ],
)
def test_what_is_no_track_is_refused(text, message):
    with pytest.raises(TrackError, match=message):
        parse_track(text)


def test_the_people_are_read_with_blanks_and_without(tmp_path):
    write_people(tmp_path, {"id00001": "dev", "id00002": "test"})
    assert " ," in (tmp_path / "vox2_meta.csv").read_text()
    people = read_people(tmp_path)
    assert people == {"id00001": "dev", "id00002": "test"}
    (tmp_path / "vox2_meta.csv").write_text("VoxCeleb2 ID,Set\nid00001,dev\nid00002,test\n")
    assert read_people(tmp_path) == people


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path):
    def error(call, *arguments):
        with pytest.raises(SourceError) as caught:
            call(*arguments)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such folder; apply for VoxCeleb2" in error(read_people, tmp_path / "none")
    message = error(read_people, tmp_path)
    assert "vox2_meta.csv: missing, get https://" in message
    (tmp_path / "vox2_meta.csv").write_text("VoxCeleb1 ID\tSet\nid10001\tdev\n")
    assert "needs columns 'VoxCeleb2 ID' and 'Set'" in error(read_people, tmp_path)
    (tmp_path / "vox2_meta.csv").write_text("VoxCeleb2 ID,Set\nid00001,dev,more\n")
    assert "vox2_meta.csv: {" in (message := error(read_people, tmp_path)) and "more" in message
    (tmp_path / "vox2_meta.csv").write_bytes(b"VoxCeleb2 ID,Set\nid00001,dev\xff\n")
    assert "vox2_meta.csv: not text in UTF-8" in error(read_people, tmp_path)
    write_people(tmp_path, {"id00001": "dev"})
    assert "holds no clip; apply for VoxCeleb2" in error(find_clips, tmp_path)
    track = tmp_path / "txt" / "id00002" / "abc" / "00001.txt"
    track.parent.mkdir(parents=True)
    track.touch()
    assert "1 face tracks but neither a clip nor" in error(find_clips, tmp_path)
    clip = tmp_path / "mp4" / "id00002" / "abc" / "00001.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    preparation = Preparation(ClipSettings(), "no:detector")
    settings = {"clips_per_video": 0, "test_share_of_dev": 0.0, "seed": 0}

    def prepare():
        prepare_splits(tmp_path, preparation, tmp_path / "waiting", tmp_path, **settings)

    assert "vox2_meta.csv does not list id00002" in error(prepare)
    (tmp_path / "exclude.txt").write_text("id0001\n")
    assert "exclude.txt: vox2_meta.csv does not list id0001" in error(prepare)
    (tmp_path / "exclude.txt").write_text("id00002\n")
    assert "all 1 clips are of people in exclude.txt" in error(find_clips, tmp_path)


def test_originals_are_preferred(archive, tmp_path):
    for folder in ("dev/txt/id00001/v", "original"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dev/txt/id00001/v/00002.txt").touch()
    (tmp_path / "dev/txt/id00001/v/00003.txt").touch()
    listing = find_clips(tmp_path)
    assert [clip.name for clip in listing.clips] == ["id00001/v/00001", "id00001/v/00002"]
    assert listing.tracks_without_video == 1
    (tmp_path / "original/v.webm").touch()
    listing = find_clips(tmp_path)
    assert [clip.source for clip in listing.clips] == [
        "vox2_dev_mp4.zip/dev/mp4/id00001/v/00001.mp4",
        "original/v.webm",
        "original/v.webm",
    ]
    assert listing.tracks_without_video == 0


def test_an_original_is_known_by_its_content_and_the_rest_is_listed(archive, tmp_path):
    for folder in ("dev/txt/id00001/v", "original"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dev/txt/id00001/v/00002.txt").touch()
    originals = tmp_path / "original"
    encode(originals / "v.webm", moving_frames(2), codec="libvpx-vp9").rename(originals / "v.part")
    for name in ("v.jpg", "v.info.json", "other.mp4", os.fsdecode(b"caf\xe9.mp4"), ".hidden"):
        (originals / name).write_text("no video")
    listing = find_clips(tmp_path)
    assert [clip.source for clip in listing.clips if clip.clip == "00002"] == ["original/v.part"]
    assert listing.unused_originals == [r"caf\xe9.mp4", "other.mp4", "v.info.json", "v.jpg"]


def test_excluded_people_are_not_read(tmp_path):
    for person in ("id00001", "id00002"):
        clip = tmp_path / "dev" / "mp4" / person / "v" / "00001.mp4"
        clip.parent.mkdir(parents=True)
        clip.touch()
    (tmp_path / "exclude.txt").write_text("id00001  # asked us to\n")
    listing = find_clips(tmp_path)
    assert [clip.person for clip in listing.clips] == ["id00002"]
    assert listing.excluded == 1 and listing.tracks_without_video == 0


def test_test_people_are_voxceleb2s_and_a_share_of_the_others():
    people = {f"id{n:05d}": "test" if n < 118 else "dev" for n in range(6112)}
    splits = {person: split_of(person, people, 0.02, seed=0) for person in people}
    assert all(splits[person] == "test" for person, of_set in people.items() if of_set == "test")
    moved = sum(split == "test" for split in splits.values()) - 118
    assert abs(moved - 0.02 * 5994) < 4 * np.sqrt(0.02 * 5994)
    assert splits != {person: split_of(person, people, 0.02, seed=1) for person in people}
    assert [split_of(p, people, 0.0, seed=0) for p in people].count("test") == 118


def test_clips_are_drawn_by_video():
    clips = [
        Clip("id00001", video, f"{number:05d}", "", "", None, "")
        for video in "abcdefgh"
        for number in range(6)
    ]
    assert draw_clips(clips, 0, seed=0) == clips
    drawn = draw_clips(clips, 2, seed=0)
    assert [clip.video for clip in drawn] == sorted(2 * "abcdefgh")
    assert len({clip.clip for clip in drawn}) > 3  # not the first ones of each
    assert drawn == draw_clips(clips, 2, seed=0) != draw_clips(clips, 2, seed=1)
