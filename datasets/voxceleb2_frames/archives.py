"""Zip archives, whole or in parts that are to be concatenated, read where they lie.

VoxCeleb2's archives have up to a million members, so that their directory alone fills a gigabyte of
memory: it is read once, and each member afterwards by its place in the archive.
"""

import bisect
import dataclasses
import io
import itertools
import os
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator

# `split` names its parts aa, ab, ac, ...
_PART = re.compile(r"(.+)part([a-z]{2})")
# A member's local header (PKWARE's APPNOTE, 4.3.7): its signature, and how long its rest is.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1  # bit of `zipfile.ZipInfo.flag_bits`


class ArchiveError(ValueError):
    """An archive or a member of it that cannot be read; the message names the file."""


@dataclasses.dataclass(frozen=True, slots=True)  # there are a million
class Member:
    """A file in a zip archive and where it lies in it.

    Attributes:
      archive: the archive's file or, in order, its parts.
      archive_stamp: changes when one of these does.
      name: in the archive.
      header_offset, compress_size, file_size, compress_type, CRC: as in `zipfile.ZipInfo`.
    """

    archive: tuple[str, ...]
    archive_stamp: str
    name: str
    header_offset: int
    compress_size: int
    file_size: int
    compress_type: int
    CRC: int


class JoinedParts(io.RawIOBase):
    """The concatenation of files, read-only and seekable, without joining them on disk."""

    def __init__(self, paths: tuple[str | os.PathLike, ...]):
        sizes = [os.path.getsize(path) for path in paths]
        self._paths = paths
        self._ends = list(itertools.accumulate(sizes))
        self._position = 0
        self._open_part: int | None = None
        self._file: io.FileIO | None = None

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.IOBase`."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise OSError(f"cannot seek to {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer) -> int:
        """Reads up to the end of the part that the position lies in, see `io.RawIOBase`."""
        part = bisect.bisect_right(self._ends, self._position)
        if part == len(self._ends):
            return 0
        if part != self._open_part:
            self._close_part()
            self._file, self._open_part = io.FileIO(self._paths[part]), part
        self._file.seek(self._position - (self._ends[part - 1] if part else 0))
        count = self._file.readinto(buffer)
        self._position += count
        return count

    def close(self) -> None:
        """See `io.IOBase`."""
        self._close_part()
        super().close()

    def _close_part(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._open_part = None


def find_archives(folder: pathlib.Path, word: str) -> list[tuple[str, ...]]:
    """The zip archives of a folder that have a word in their names, each as its parts in order.

    Raises:
      ArchiveError: a part is missing between others.
    """
    archives, parts = [], {}
    for path in sorted(folder.iterdir()):
        match = _PART.fullmatch(path.name)
        if word not in path.name or not path.is_file():
            continue
        if path.suffix == ".zip":
            archives.append((str(path),))
        elif match:
            parts.setdefault(match[1], []).append(match[2])
    for stem, suffixes in parts.items():
        letters = [chr(ord("a") + i) for i in range(26)]
        expected = itertools.islice(itertools.product(letters, letters), len(suffixes))
        for have, want in zip(suffixes, map("".join, expected), strict=True):
            if have != want:
                raise ArchiveError(f"{folder / stem}part{want}: missing, as later parts exist")
        archives.append(tuple(f"{folder / stem}part{suffix}" for suffix in suffixes))
    return archives


def members(archive: tuple[str, ...]) -> Iterator[Member]:
    """All files in an archive.

    Raises:
      ArchiveError: it is no zip archive, its end, which holds the directory, is missing, a part is
        cut short, or a member is encrypted.
      OSError: it cannot be read.
    """
    try:
        with (
            io.BufferedReader(JoinedParts(archive)) as file,
            zipfile.ZipFile(file) as directory,
        ):
            infos = directory.infolist()
            # Bytes that are missing in the middle shift all that lies before them.
            for info in infos[:1] + infos[-1:]:
                if info.header_offset < 0 or not _starts_member(file, info.header_offset):
                    raise ArchiveError(f"{archive[0]}: a part is cut short, or damaged")
    except zipfile.BadZipFile as error:
        hint = ", or the last part is missing" if len(archive) > 1 else ""
        raise ArchiveError(
            f"{archive[-1]}: not a zip archive, or cut short{hint} ({error})"
        ) from error
    states = [os.stat(path) for path in archive]
    stamp = " ".join(f"{state.st_size} {state.st_mtime_ns}" for state in states)
    for info in infos:
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"{archive[0]}: {info.filename}: encrypted; unpack it yourself")
        if not info.is_dir():
            places = {
                field.name: getattr(info, field.name)
                for field in dataclasses.fields(Member)
                if field.name not in ("archive", "archive_stamp", "name")
            }
            yield Member(archive, stamp, info.filename, **places)


def _starts_member(file: io.BufferedReader, offset: int) -> bool:
    file.seek(offset)
    return file.read(len(_SIGNATURE)) == _SIGNATURE


def read_member(member: Member) -> bytes:
    """The content of a member, its checksum verified.

    Raises:
      ArchiveError: the member is damaged.
      OSError: the archive cannot be read.
    """
    info = zipfile.ZipInfo(member.name)
    info.compress_size, info.file_size = member.compress_size, member.file_size
    info.compress_type, info.CRC = member.compress_type, member.CRC
    try:
        with io.BufferedReader(JoinedParts(member.archive)) as file:
            file.seek(member.header_offset)
            signature, *lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            if signature != _SIGNATURE:
                raise zipfile.BadZipFile("it does not begin where the directory says")
            file.seek(sum(lengths), os.SEEK_CUR)
            return zipfile.ZipExtFile(file, "r", info).read()
    except (zipfile.BadZipFile, EOFError, struct.error, zlib.error) as error:
        what = str(error) or type(error).__name__
        raise ArchiveError(f"{member.archive[0]}: {member.name}: damaged ({what})") from error
