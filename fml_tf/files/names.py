"""Names of files as text."""

import os


def printable(path: str | os.PathLike) -> str:
    r"""A path as text that can be printed and stored; bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")
