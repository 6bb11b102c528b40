"""Example generation over several processes; the examples do not depend on their number."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping

import cv2
import tensorflow as tf

from fml_tf.synthesis.generator import FaceGenerator, FrameSettings

# NumPy's linear algebra asks for its number of threads when it is loaded.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_generator: FaceGenerator | None = None


def available_processes() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def generate(
    settings: FrameSettings, people: range, images_per_person: int, num_processes: int
) -> Iterator[tuple[int, list[dict]]]:
    """Yields (person's index, their examples of `FaceGenerator.example`), in order.

    Args:
      settings: what all examples have in common.
      people: indices.
      images_per_person: examples per person.
      num_processes: 1 generates in this process; more start afresh (TensorFlow does not survive a
        fork), so that a script that calls this needs an `if __name__ == "__main__"` guard.
    """
    tasks = [(index, images_per_person) for index in people]
    if num_processes == 1:
        generator = FaceGenerator(settings)
        yield from (_examples(generator, task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with _environment(_ONE_THREAD):
        pool = context.Pool(num_processes, _start, (settings,))
    with pool:
        yield from pool.imap(_work, tasks)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]):
    """Sets variables of the environment, which processes that are started inherit."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(settings: FrameSettings) -> None:
    global _generator
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)
    _generator = FaceGenerator(settings)


def _work(task: tuple[int, int]) -> tuple[int, list[dict]]:
    return _examples(_generator, task)


def _examples(generator: FaceGenerator, task: tuple[int, int]) -> tuple[int, list[dict]]:
    index, images_per_person = task
    person = generator.person(index)
    return index, [generator.example(person, index, image) for image in range(images_per_person)]
