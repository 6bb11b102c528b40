"""Scripts start without the lines that libraries write about themselves, and hide no errors."""

import logging
import os
import subprocess
import sys

import pytest

from fml_tf import quiet
from fml_tf.command_line import held_back_stderr


def test_tensorflow_starts_without_a_word():
    code = "from fml_tf import quiet\nimport tensorflow as tf\nprint(tf.constant(1).numpy())"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "1\n"
    if not os.path.exists("/dev/nvidia0"):  # why a GPU is not used has to be told
        assert result.stderr == ""


def test_what_was_held_back_shows_if_the_block_fails(capfd):
    with held_back_stderr():
        os.write(2, b"chatter\n")
    assert "chatter" not in capfd.readouterr().err
    with pytest.raises(ImportError), held_back_stderr():
        os.write(2, b"the reason\n")
        raise ImportError
    assert "the reason" in capfd.readouterr().err


def test_libraries_warnings_are_no_news_but_their_errors_and_our_own_are():
    def record(path, level):
        return logging.LogRecord("absl", level, path, 1, "text", (), None)

    library = os.path.join("lib", "site-packages", "some", "file.py")
    assert not quiet._is_news(record(library, logging.WARNING))
    assert quiet._is_news(record(library, logging.ERROR))
    assert quiet._is_news(record("fml_tf/file.py", logging.INFO))
