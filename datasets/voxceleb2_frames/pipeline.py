"""All clips through Apache Beam: on this machine's cores, or on whatever its options name."""

import contextlib
import functools
import os
import pathlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import apache_beam as beam
import cv2
import tqdm
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import (
    ExtendedProvisionInfo,
    FnApiRunner,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from datasets.voxceleb2_frames.preparation import Outcome, Preparation, prepare_once
from datasets.voxceleb2_frames.source import Clip
from fml_tf.files.atomic import atomic_path

# Clips that a worker takes at once, unless there are so few that some workers would get none.
_SLICE = 64
_LEAST_SLICES = 256
_CLIPS = "slices"


def prepare_clips(
    clips: Sequence[Clip],
    preparation: Preparation,
    folder: pathlib.Path,
    options: PipelineOptions | None = None,
    runner=None,
) -> list[Outcome]:
    """Prepares clips, each once: what lies in the folder from an earlier call is not done again.

    Beam's local runner holds in memory what travels through it: that is only where slices of the
    clips lie in a file of the folder. What becomes of them stays in the folder, too.

    Args:
      clips: all of them.
      preparation: how.
      folder: for results; like VoxCeleb2's own, every worker must see it under this path.
      options, runner: Beam's. One process by default.

    Returns:
      The outcomes in the order of the clips, whatever the number of workers.
    """
    options = options or PipelineOptions(flags=[])  # not those of the calling script
    if runner is None and options.view_as(StandardOptions).runner is None:
        runner = _local_runner(options)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    places = _write_slices(clips, folder)
    prepare = functools.partial(_prepare_slice, preparation=preparation, folder=os.fspath(folder))
    with (
        _progress(folder, len(clips)),
        _end_with_a_worker(),
        beam.Pipeline(runner=runner, options=options) as pipeline,
    ):
        slices = pipeline | "Slices" >> beam.Create(places) | "Spread" >> beam.Reshuffle()
        _ = slices | "Prepare" >> beam.Map(prepare)
    outcomes = []
    for place in places:
        outcomes += pickle.loads(_outcomes_file(folder, place).read_bytes())
    return outcomes


def _write_slices(clips: Sequence[Clip], folder: pathlib.Path) -> list[int]:
    """Writes clips for `_prepare_slice` and returns the place of each slice in the file."""
    size = min(_SLICE, -(-len(clips) // _LEAST_SLICES))
    places = []
    with (folder / _CLIPS).open("wb") as file:
        for start in range(0, len(clips), size):
            places.append(file.tell())
            pickle.dump(clips[start : start + size], file)
    return places


def _prepare_slice(place: int, preparation: Preparation, folder: str) -> None:
    cv2.setNumThreads(1)  # Beam has a process for each core
    with open(pathlib.Path(folder, _CLIPS), "rb") as file:
        file.seek(place)
        clips = pickle.load(file)
    outcomes = [prepare_once(clip, preparation, folder) for clip in clips]
    with atomic_path(_outcomes_file(folder, place)) as temporary:
        temporary.write_bytes(pickle.dumps(outcomes))


def _outcomes_file(folder: str | os.PathLike, place: int) -> pathlib.Path:
    return pathlib.Path(folder, f"{place}.outcomes")


def _local_runner(options: PipelineOptions) -> FnApiRunner:
    """Beam's runner for one machine; obeys direct_running_mode and direct_num_workers.

    Beam's default, DirectRunner, would first try to download and start a program.
    """
    # A worker process logs dozens of lines about itself below this level.
    options = PipelineOptions.from_dictionary(
        {"default_sdk_harness_log_level": "ERROR", **options.get_all_options(drop_default=True)}
    )
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    information = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(information))


@contextlib.contextmanager
def _end_with_a_worker() -> Iterator[None]:
    """Ends this process when one of its worker processes dies.

    Beam's local runner only raises an exception in the thread that waits for the worker, and then
    waits for the worker's results forever, as do its other threads.
    """
    before = threading.excepthook

    def end(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is None or arguments.thread.name != "run_worker":
            before(arguments)
        else:
            print(
                f"voxceleb2_frames: {arguments.exc_value}; the same command resumes from here"
                " and leaves out a clip at which that happens twice",
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)

    threading.excepthook = end
    try:
        yield
    finally:
        threading.excepthook = before


@contextlib.contextmanager
def _progress(folder: pathlib.Path, total: int) -> Iterator[None]:
    """Shows how many results lie in the folder, whichever process puts them there."""
    finished = threading.Event()

    def count() -> int:
        found = sum(
            name.endswith(".pickle")
            for parent, _, names in os.walk(folder)
            for name in names
            if parent != str(folder)
        )
        return min(found, total)  # results of files that were replaced may lie there, too

    def watch() -> None:
        pause = 1.0
        while not finished.wait(pause):
            start = time.monotonic()
            bar.update(count() - bar.n)
            pause = max(1.0, 20 * (time.monotonic() - start))  # looking costs a twentieth at most

    with tqdm.tqdm(total=total, desc="Preparing clips", unit=" clips", initial=count()) as bar:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            bar.update(count() - bar.n)
