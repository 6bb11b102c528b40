"""How the scripts of this project end, and what libraries may say meanwhile."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def one_line_errors(script: str, *more: type[Exception]) -> Iterator[None]:
    """Says what cannot be used or written in one line on stderr, and exits with 2.

    With --verbosity=1 a traceback precedes the line. File names that are not UTF-8 are printed with
    their bytes as escapes, so that they do not fail a run when all its work is done.

    Args:
      script: what the line begins with.
      more: other errors that end a script as OSError and ValueError do.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()  # a full disk shows here, not when Python ends
    except (OSError, ValueError, *more) as error:
        logging.debug("where it failed:", exc_info=True)
        print(f"{script}: {first_line(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # Python would try once more when it ends, and complain again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Holds back what is written to stderr, from C++ too; shows it if an error ends the block."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            kept.seek(0)
            sys.stderr.write(kept.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), "") or repr(error)
