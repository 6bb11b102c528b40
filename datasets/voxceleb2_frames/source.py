"""VoxCeleb2 as its distributors give it: which clips there are and where their frames lie."""

import collections
import contextlib
import csv
import dataclasses
import hashlib
import io
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

from datasets.exclusion import FILE_NAME, excluded_people
from datasets.voxceleb2_frames.archives import Member, find_archives, members, read_member
from datasets.voxceleb2_frames.tracks import TrackError, parse_track
from fml_tf.files.names import printable
from fml_tf.files.video import VideoError, check_video
from fml_tf.preprocessing.face_track import FaceTrack

# A clip's files are PERSON/VIDEO/CLIP.mp4 and .txt, whatever the folders above them.
_CLIP_FILE = re.compile(r"(?:.*/)?(id\d{5})/([\w-]+)/(\d{5})\.(mp4|txt)")
_FOLDERS = ("", "dev", "test")
_ORIGINALS = "original"
_PEOPLE = "vox2_meta.csv"
_HOW_TO_GET = (
    "apply for VoxCeleb2 at https://mm.kaist.ac.kr/datasets/voxceleb and put vox2_dev_mp4_partaa to"
    " partai and vox2_test_mp4.zip there, or what they unpack to (dev/mp4, test/mp4)"
)


class SourceError(ValueError):
    """A folder that is not VoxCeleb2; the message is one line that says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True)  # there are a million
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

    @contextlib.contextmanager
    def video_path(self, folder: str | os.PathLike | None = None) -> Iterator[str]:
        """The video as a file, for the time of the context.

        Args:
          folder: where what lies in an archive is put for that time; by default the system's.

        Raises:
          ArchiveError: it is damaged in its archive.
          OSError: it cannot be read, or not be written to the folder.
        """
        if isinstance(self.video_file, str):
            yield self.video_file
            return
        content = read_member(self.video_file)
        with tempfile.NamedTemporaryFile(suffix=".mp4", dir=folder) as file:
            file.write(content)
            file.flush()
            yield file.name

    def face_track(self) -> FaceTrack | None:
        """Where the person's face is in an original video; None where the clip has its own.

        Raises:
          TrackError: the track's file holds none.
          ArchiveError: it is damaged in its archive.
          OSError: it cannot be read.
        """
        if self.track_file is None:
            return None
        if isinstance(self.track_file, Member):
            content = read_member(self.track_file)
        else:
            content = pathlib.Path(self.track_file).read_bytes()
        try:
            return parse_track(content.decode("ascii", errors="replace"))
        except TrackError as error:
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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not text in UTF-8 ({error})") from error
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if None in row:
            raise SourceError(f"{path}: {row}: more values than columns")
        # Names and values are padded with blanks.
        row = {name.strip(): (value or "").strip() for name, value in row.items()}
        people[row.get("VoxCeleb2 ID")] = row.get("Set")
    if not people or None in people or not set(people.values()) <= {"dev", "test"}:
        raise SourceError(
            f"{path}: needs columns 'VoxCeleb2 ID' and 'Set', the latter 'dev' or 'test'"
        )
    return people


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder that holds VoxCeleb2, or a part of it, has.

    Attributes:
      clips: sorted by name, without those of excluded people.
      excluded: how many these are.
      tracks_without_video: face tracks that belong to no clip, as their video is missing.
      unused_originals: names of the files among the original videos that no clip is taken from.
    """

    clips: list[Clip]
    excluded: int
    tracks_without_video: int
    unused_originals: list[str]


def find_clips(folder: str | os.PathLike) -> Listing:
    """Lists the clips in a folder.

    A clip's frames come from the original video (`original/VIDEO.*`) where there is one and the
    clip's face track, else from the mp4 file of the clip.

    Raises:
      SourceError, ArchiveError: what is missing.
    """
    folder = pathlib.Path(folder).absolute()  # workers need not start where this process did
    videos = dict(_find(folder, "mp4"))
    tracks = dict(_find(folder, "txt"))
    files = _files(folder / _ORIGINALS)
    originals = _originals(files, {video for _, video, _ in tracks})
    unused = set(files) - set(originals.values())
    excluded = excluded_people(folder)
    clips, num_excluded, tracks_without_video = [], 0, 0
    for key in sorted(videos.keys() | tracks.keys()):
        tracked = key in tracks and key[1] in originals
        if not tracked and key not in videos:
            tracks_without_video += 1
        elif key[0] in excluded:
            num_excluded += 1
        elif tracked:
            clips.append(_clip(folder, key, str(originals[key[1]]), tracks[key]))
        else:
            clips.append(_clip(folder, key, videos[key], None))
    if num_excluded and not clips:
        raise SourceError(f"{folder}: all {num_excluded} clips are of people in {FILE_NAME}")
    if not clips:
        raise SourceError(
            f"{folder}: {len(tracks)} face tracks but neither a clip nor one of their videos in"
            f" {_ORIGINALS}/VIDEO.mp4"
            if tracks
            else f"{folder}: holds no clip; {_HOW_TO_GET}"
        )
    unused = sorted(printable(path.name) for path in unused)
    return Listing(clips, num_excluded, tracks_without_video, unused)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _originals(files: list[pathlib.Path], videos: set[str]) -> dict[str, pathlib.Path]:
    """The file of each of these videos, known by its name without a suffix.

    Of several, such as what downloaders put beside a video, it is the first that is one by its
    content; one alone is not opened here: there may be 150,000.
    """
    named = collections.defaultdict(list)
    for path in files:
        if path.stem in videos:
            named[path.stem].append(path)
    originals = {}
    for video, paths in named.items():
        found = paths if len(paths) == 1 else filter(_is_video, paths)
        if path := next(iter(found), None):
            originals[video] = path
    return originals


def _is_video(path: pathlib.Path) -> bool:
    try:
        check_video(path)
    except VideoError:
        return False
    return True


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
        return f"{file.file_size} {file.CRC} {file.archive_stamp}"
    status = os.stat(file)
    return f"{status.st_size} {status.st_mtime_ns}"
