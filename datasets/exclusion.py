"""People who are to be in no data set, though their videos are in its source."""

import os
import pathlib

FILE_NAME = "exclude.txt"


def excluded_people(folder: str | os.PathLike) -> frozenset[str]:
    """The people named in a source's `exclude.txt`, one id a line; nobody without that file.

    Blank lines, and what follows a #, say nothing.
    """
    path = pathlib.Path(folder, FILE_NAME)
    if not path.is_file():
        return frozenset()
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(filter(None, (line.partition("#")[0].strip() for line in lines)))
