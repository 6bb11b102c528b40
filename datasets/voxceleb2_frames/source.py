"""VoxCeleb2 as its distributors give it: which clips there are and where their frames lie."""

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

from datasets.exclusion import excluded_people
from datasets.voxceleb2_frames.archives import Member, find_archives, members, read_member
from datasets.voxceleb2_frames.tracks import TrackError, parse_track
from fml_tf.preprocessing.face_track import FaceTrack
from fml_tf.preprocessing.video import SUFFIXES

# A clip's files are PERSON/VIDEO/CLIP.mp4 and .txt, whatever the folders above them.
_CLIP_FILE = re.compile(r"(?:.*/)?(id\d{5})/([^/]+)/(\d{5})\.(mp4|txt)")
_FOLDERS = ("", "dev", "test")
_ORIGINALS = "original"
_PEOPLE = "vox2_meta.csv"
_HOW_TO_GET = (
    "apply for VoxCeleb2 at https://mm.kaist.ac.kr/datasets/voxceleb and put vox2_dev_mp4_partaa to"
    " partai and vox2_test_mp4.zip there, or what they unpack to (dev/mp4, test/mp4)"
)


class SourceError(ValueError):
    """A folder that is not VoxCeleb2; the message is one line that says what is missing."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """One utterance of VoxCeleb2.

    Attributes:
      person, video, clip: ids, such as id00012, 21Uxsk56VDQ, 00001.
      source: the file that its frames come from, relative to VoxCeleb2's folder; a member of an
        archive stands behind the archive's name.
      video_file: that file, or its place in an archive.
      track_file: the face track, for frames from an original video; else None.
      stamp: changes when the files do.
    """

    person: str
    video: str
    clip: str
    source: str
    video_file: str | Member
    track_file: str | Member | None
    stamp: str

    @property
    def name(self) -> str:
        """person/video/clip, which no other clip has."""
        return f"{self.person}/{self.video}/{self.clip}"

    def to_json(self) -> str:
        """One line, for `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Clip":
        """The clip that `to_json` wrote."""
        fields = json.loads(line)
        for name in ("video_file", "track_file"):
            if isinstance(fields[name], dict):
                archive = tuple(fields[name]["archive"])
                fields[name] = Member(**{**fields[name], "archive": archive})
        return cls(**fields)

    @contextlib.contextmanager
    def video_path(self) -> Iterator[str]:
        """The video as a file, for the time of the context.

        Raises:
          ArchiveError: it is damaged in its archive.
          OSError: it cannot be written to the temporary folder.
        """
        if isinstance(self.video_file, str):
            yield self.video_file
            return
        content = read_member(self.video_file)
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(content)
            file.flush()
            yield file.name

    def face_track(self) -> FaceTrack | None:
        """Where the person's face is in an original video; None where the clip has its own.

        Raises:
          TrackError: the track's file holds none, or cannot be read.
          ArchiveError: it is damaged in its archive.
        """
        if self.track_file is None:
            return None
        try:
            if isinstance(self.track_file, Member):
                content = read_member(self.track_file)
            else:
                content = pathlib.Path(self.track_file).read_bytes()
            return parse_track(content.decode("ascii", errors="replace"))
        except (OSError, TrackError) as error:
            raise TrackError(f"{self.name}.txt: {error}") from error


def read_people(folder: pathlib.Path) -> dict[str, str]:
    """The people of VoxCeleb2 and whose set they belong to, "dev" or "test" (`vox2_meta.csv`).

    Raises:
      SourceError: no such folder or file, or not that of VoxCeleb2.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; {_HOW_TO_GET}")
    path = folder / _PEOPLE
    if not path.is_file():
        raise SourceError(
            f"{path}: missing, get https://www.openslr.org/resources/49/{_PEOPLE} (it says whose"
            " clips are for tests)"
        )
    people = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            # Names and values are padded with blanks.
            row = {(name or "").strip(): (value or "").strip() for name, value in row.items()}
            people[row.get("VoxCeleb2 ID")] = row.get("Set")
    if not people or None in people or not set(people.values()) <= {"dev", "test"}:
        raise SourceError(
            f"{path}: needs columns 'VoxCeleb2 ID' and 'Set', the latter 'dev' or 'test'"
        )
    return people


def find_clips(folder: str | os.PathLike) -> tuple[list[Clip], int]:
    """All clips in a folder that holds VoxCeleb2, or a part of it, but those of excluded people.

    A clip's frames come from the original video (`original/VIDEO.*`) where there is one and the
    clip's face track, else from the mp4 file of the clip.

    Returns:
      The clips, sorted by name, and the number of face tracks for which there is no video.

    Raises:
      SourceError, ArchiveError: what is missing.
    """
    folder = pathlib.Path(folder).absolute()  # workers need not start where this process did
    videos = dict(_find(folder, "mp4"))
    tracks = dict(_find(folder, "txt"))
    originals = {}
    if (folder / _ORIGINALS).is_dir():
        found = sorted((folder / _ORIGINALS).iterdir())
        originals = {path.stem: path for path in found if path.suffix.lower() in SUFFIXES}
    excluded = excluded_people(folder)
    keys = sorted(key for key in videos.keys() | tracks.keys() if key[0] not in excluded)
    clips = []
    for key in keys:
        original = originals.get(key[1])
        if original and key in tracks:
            clips.append(_clip(folder, key, str(original), tracks[key]))
        elif key in videos:
            clips.append(_clip(folder, key, videos[key], None))
    if not clips:
        raise SourceError(
            f"{folder}: {len(tracks)} face tracks but neither a clip nor one of their videos in"
            f" {_ORIGINALS}/VIDEO.mp4"
            if tracks
            else f"{folder}: holds no clip; {_HOW_TO_GET}"
        )
    return clips, len(keys) - len(clips)


def _find(folder: pathlib.Path, kind: str) -> Iterator[tuple[tuple[str, str, str], str | Member]]:
    """Files of a kind ("mp4" or "txt") by (person, video, clip), unpacked ones last."""
    for archive in find_archives(folder, kind):
        for member in members(archive):
            match = _CLIP_FILE.fullmatch(member.name)
            if match and match[4] == kind:
                yield match.groups()[:3], member
    for top in _FOLDERS:
        for parent, _, names in os.walk(folder / top / kind):
            for name in names:
                match = _CLIP_FILE.fullmatch(f"{parent}/{name}")
                if match and match[4] == kind:
                    yield match.groups()[:3], f"{parent}/{name}"


def _clip(
    folder: pathlib.Path,
    key: tuple[str, str, str],
    video_file: str | Member,
    track_file: str | Member | None,
) -> Clip:
    if isinstance(video_file, Member):
        source = os.path.join(os.path.relpath(video_file.archive[0], folder), video_file.name)
    else:
        source = os.path.relpath(video_file, folder)
    stamps = [_stamp(file) for file in (video_file, track_file) if file is not None]
    stamp = hashlib.sha256(" ".join([source, *stamps]).encode()).hexdigest()[:16]
    return Clip(*key, source, video_file, track_file, stamp)


def _stamp(file: str | Member) -> str:
    if isinstance(file, Member):
        return f"{file.file_size} {file.CRC}"
    status = os.stat(file)
    return f"{status.st_size} {status.st_mtime_ns}"
