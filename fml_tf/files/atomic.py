"""Files that are written whole or not at all."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same directory that becomes `path` when the block succeeds.

    The temporary name ends like `path`, for writers that look at the suffix. If the block raises,
    the temporary file is removed and what was at `path` before stays.
    """
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as directory:
        temporary = pathlib.Path(directory) / path.name
        yield temporary
        os.replace(temporary, path)


def write_json(path: str | os.PathLike, values) -> None:
    """Writes `values` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(values, indent=2, ensure_ascii=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")
