"""People who are to be in no data set, though their videos are in its source."""

import os
import pathlib

FILE_NAME = "exclude.txt"


def excluded_people(folder: str | os.PathLike) -> frozenset[str]:
    """The people named in a source's `exclude.txt`, one id a line; nobody without that file.

    Blank lines, and what follows a #, say nothing.

    Raises:
      ValueError: the file is not text in UTF-8.
    """
    path = pathlib.Path(folder, FILE_NAME)
    if not path.is_file():
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error})") from error
    return frozenset(filter(None, (line.partition("#")[0].strip() for line in lines)))
