"""Files that are written whole or not at all, and never without a word when they are not."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

import cv2
import numpy as np

STAGING_PREFIX = ".writing-"
_JPEG = (".jpg", ".jpeg")


class NotWrittenError(OSError):
    """A file that could not be written, as on a full disk; the message names it."""

    def __str__(self):
        return f"{self.filename}: cannot be written: {self.strerror}"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same directory that becomes `path` when the block succeeds.

    The temporary name ends like `path`, for writers that look at the suffix. If the block raises,
    the temporary file is removed and what was at `path` before stays.

    A block's writer has to raise where it fails: `np.save` of a small array, OpenCV and h5py do
    not always. Their bytes are made in memory instead (`write_array`, `write_image`).

    Raises:
      NotWrittenError: an OSError of the block or of what happens around it, or `path` exists and
        is not a file (a folder, or a device, which would be replaced).
    """
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_file():
            raise OSError("it exists and is not a file")
        with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=path.parent) as directory:
            temporary = pathlib.Path(directory) / path.name
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
    except NotWrittenError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotWrittenError(error.errno, reason, os.fspath(path)) from error


def _flush(path):
    """Waits for the disk: some report only then that they are full; a power cut loses nothing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike, data: bytes | np.ndarray) -> None:
    """Writes bytes, or an array's, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    r"""Writes `text` as UTF-8, atomically; of a name that is not UTF-8, bytes as `\udcNN`."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: str | os.PathLike, values) -> None:
    """Writes `values` as indented JSON, atomically."""
    write_text(path, f"{json.dumps(values, indent=2, ensure_ascii=False)}\n")


def write_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an array as .npy, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def write_image(path: str | os.PathLike, image: np.ndarray, jpeg_quality: int = 95) -> None:
    """Writes a picture [H, W, 3] uint8 RGB in the format of the path's suffix, atomically.

    Raises:
      ValueError: the suffix is of no format that OpenCV writes.
    """
    suffix = pathlib.Path(path).suffix
    if not (suffix.isascii() and cv2.haveImageWriter(f"picture{suffix}")):
        raise ValueError(f"{path}: its suffix is not that of a picture, such as .png or .jpg")
    quality = (cv2.IMWRITE_JPEG_QUALITY, jpeg_quality) if suffix.lower() in _JPEG else ()
    write_bytes(path, cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), quality)[1])
