"""Names of files as text."""

import os


def printable(path: str | os.PathLike) -> str:
    r"""A path as one line that can be printed and stored; bytes that are not UTF-8 as `\xe9`."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return text.replace("\n", "\\n").replace("\r", "\\r")
