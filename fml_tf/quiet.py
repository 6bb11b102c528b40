"""Imported first, starts TensorFlow without the lines that libraries write about themselves.

TensorFlow's C++ part writes some before any level can be set, and complains of a missing GPU where
there is none. The libraries' Python parts tell what they do and what is deprecated in them: errors
still show, and with --verbosity=1 all does.
"""

import contextlib
import logging
import os

import absl.logging

from fml_tf.command_line import held_back_stderr


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is our own, an error, or asked for."""
    ours = f"{os.sep}site-packages{os.sep}" not in record.pathname
    return ours or record.levelno >= logging.ERROR or absl.logging.get_verbosity() > 0


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Why a GPU that is there is not used has to be told.
with contextlib.nullcontext() if os.path.exists("/dev/nvidia0") else held_back_stderr():
    import tensorflow as tf

    tf.config.list_physical_devices()
absl.logging.get_absl_handler().addFilter(_is_news)
tf.get_logger().addFilter(_is_news)
