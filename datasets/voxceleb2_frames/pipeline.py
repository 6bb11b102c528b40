"""All clips through Apache Beam: on this machine's cores, or on whatever its options name."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator, Sequence

import apache_beam as beam
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


def prepare_clips(
    clips: Sequence[Clip],
    preparation: Preparation,
    folder: pathlib.Path,
    options: PipelineOptions | None = None,
    runner=None,
) -> list[Outcome]:
    """Prepares clips, each once: what lies in the folder from an earlier call is not done again.

    Only a few words a clip travel through Beam, as its local runner holds in memory what travels.
    The images stay in the folder.

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
    listing, result = folder / "clips.jsonl", folder / "outcomes.jsonl"
    listing.write_text("".join(f"{clip.to_json()}\n" for clip in clips))
    prepare = functools.partial(prepare_once, preparation=preparation, folder=os.fspath(folder))
    with _progress(folder, len(clips)), beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Read list" >> beam.io.ReadFromText(os.fspath(listing))
            | "Spread" >> beam.Reshuffle()
            | "Parse" >> beam.Map(Clip.from_json)
            | "Prepare" >> beam.Map(prepare)
            | "Serialise" >> beam.Map(_to_json)
            | "Write" >> beam.io.WriteToText(os.fspath(result), shard_name_template="")
        )
    outcomes = [Outcome(**json.loads(line)) for line in result.read_text().splitlines()]
    order = {clip.name: number for number, clip in enumerate(clips)}
    return sorted(outcomes, key=lambda outcome: order[outcome.name])


def _local_runner(options: PipelineOptions) -> FnApiRunner:
    """Beam's runner for one machine; obeys direct_running_mode and direct_num_workers.

    Beam's default, DirectRunner, would first try to download and start a program.
    """
    # A worker process tells dozens of lines about itself below this level.
    options = PipelineOptions.from_dictionary(
        {"default_sdk_harness_log_level": "ERROR", **options.get_all_options(drop_default=True)}
    )
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    information = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(information))


def _to_json(outcome: Outcome) -> str:
    return json.dumps(dataclasses.asdict(outcome))


@contextlib.contextmanager
def _progress(folder: pathlib.Path, total: int) -> Iterator[None]:
    """Shows how many results lie in the folder, whichever process puts them there."""
    finished = threading.Event()

    def count() -> int:
        return sum(len(names) for parent, _, names in os.walk(folder) if parent != str(folder))

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
