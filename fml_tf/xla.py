"""Functions that run as XLA clusters, but not in graphs that leave for runtimes without XLA."""

import contextlib
import contextvars
import functools
from collections.abc import Iterator

import tensorflow as tf

_inlined = contextvars.ContextVar("inlined", default=False)


def xla_cluster(function):
    """Decorator: compiles the function, on tensors, into an XLA cluster of its own."""
    cluster = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*arguments):
        return (function if _inlined.get() else cluster)(*arguments)

    return call


@contextlib.contextmanager
def without_xla() -> Iterator[None]:
    """What is traced inside holds the clusters' plain ops in their place.

    A cluster is compiled again for each shape of its inputs, and a runtime into which XLA is not
    linked cannot run it at all; an exported graph has to serve both any shape and any runtime.
    """
    token = _inlined.set(True)
    try:
        yield
    finally:
        _inlined.reset(token)
