"""Folders that a run writes to: checked before the work, filled whole or not at all after it."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from fml_tf.files.atomic import STAGING_PREFIX, NotWrittenError

# TensorFlow looks for files of weights by patterns made from their folder's name.
_PATTERN_CHARACTERS = frozenset("*?[]\\")


def checked_tensorflow_dir(path: str | os.PathLike) -> str:
    r"""A folder's name as it came, if TensorFlow can keep checkpoints or SavedModels in it.

    In `runs/exp[1]` it writes checkpoints, but neither finds nor ever deletes them, and SavedModels
    that it cannot load; in `runs/exp?` it also deletes the checkpoints of `runs/exp1`. Our own
    saved models may lie anywhere.

    Raises:
      ValueError: the name has one of ``* ? [ ] \`` in it, or is not UTF-8.
    """
    path = os.fspath(path)
    found = [character for character in path if character in _PATTERN_CHARACTERS]
    if found:
        raise ValueError(
            f"{path}: TensorFlow would not find what it writes to a folder with {found[0]!r} in "
            "its name or in that of a folder above; give another"
        )
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{path!a}: TensorFlow opens no folder whose name is not UTF-8; give another"
        ) from None
    return path


def probe_directory(path: str | os.PathLike) -> pathlib.Path:
    """Finds out whether a folder can be made, where it is missing, and written to.

    Leaves nothing behind.

    Returns:
      Its absolute path, free of links and `..`.

    Raises:
      ValueError: it cannot.
    """
    if not os.fspath(path):
        raise ValueError("the name of the output folder is empty")
    try:
        given = pathlib.Path(path).absolute()
    except FileNotFoundError:
        raise ValueError(f"{path}: the folder that it is relative to was deleted") from None
    nearest = next(p for p in (given, *given.parents) if os.path.lexists(p))
    if not nearest.exists():
        raise ValueError(f"{nearest}: a broken link")
    if not nearest.is_dir():
        raise ValueError(f"{nearest}: not a folder")
    path = pathlib.Path(os.path.realpath(path))
    try:
        with contextlib.ExitStack() as undo:
            _make_missing(path, undo)
            with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=path):
                pass
    except OSError as error:
        raise ValueError(f"{path}: cannot be written to: {error.strerror}") from error
    return path


def check_output_directory(
    path: str | os.PathLike, files: Sequence[str] = (), overwrite: bool = False
) -> pathlib.Path:
    """Refuses a folder that a run may not write to, before any work is done.

    Args:
      path: of the folder; need not exist.
      files: patterns of all that a run writes, of scripts that have a flag `--overwrite`.
      overwrite: what the flag says: files of these names may be replaced.

    Returns:
      As `probe_directory`.

    Raises:
      ValueError: as `probe_directory`, or the folder has files in it and not `overwrite`, or one
        that is to be replaced is a folder.
    """
    folder = probe_directory(path)
    if overwrite:
        for old in _matching(folder, files):
            if old.is_dir() and not old.is_symlink():
                raise ValueError(f"{old}: a folder, in the way of a file of that name")
    elif folder.exists() and any(not _is_staging(child) for child in folder.iterdir()):
        advice = "give another or --overwrite" if files else "give another"
        raise ValueError(f"{path}: the output folder has files in it; {advice}")
    return folder


@contextlib.contextmanager
def output_directory(
    path: str | os.PathLike, files: Sequence[str] = (), overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Yields an empty folder whose files move into `path` when the block succeeds.

    That folder lies in `path` itself: what is above may be another disk or not ours. If the block
    or the move fails, all that was written is removed and `path` is as it was before.

    Args:
      path: of the folder; made, with its parents, where it does not exist.
      files: patterns of all that a run writes.
      overwrite: let the new files take the place of all `files` of an earlier run in a folder that
        is not empty; its other files stay.

    Raises:
      ValueError: see `check_output_directory`.
      OSError: it cannot be written.
    """
    folder = check_output_directory(path, files, overwrite)
    with staging_directory(folder) as staging:
        new, aside = staging / "new", staging / "old"
        new.mkdir()
        aside.mkdir()
        try:
            yield new
        except NotWrittenError as error:  # named as the file would have been
            error.filename = error.filename.replace(os.fspath(new), os.fspath(path), 1)
            raise
        check_output_directory(path, files, overwrite)  # another run may have come meanwhile
        old = _matching(folder, files) if overwrite else []
        _move(
            [(file, aside / file.name) for file in old]
            + [(file, folder / file.name) for file in sorted(new.iterdir())]
        )


@contextlib.contextmanager
def staging_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a hidden folder in `path`, which is made; both are gone again if the block raises."""
    with contextlib.ExitStack() as undo:
        _make_missing(path, undo)
        with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=path) as staging:
            yield pathlib.Path(staging)
        undo.pop_all()


def _make_missing(path, undo):
    """Makes a folder and those above it; `undo` removes those that are new and empty."""
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        undo.callback(_remove_empty, folder)


def _remove_empty(folder):
    with contextlib.suppress(OSError):  # another run uses it meanwhile
        folder.rmdir()


def _matching(folder, patterns):
    if not folder.exists():
        return []
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _is_staging(path):
    # Of a run beside this one, or of one that was killed.
    return path.name.startswith(STAGING_PREFIX)


def _move(moves):
    """Renames each (from, to), all or none."""
    done = []
    try:
        for source, target in moves:
            os.replace(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            os.replace(target, source)
        raise
