"""Damaged files neither end nor hang the process that reads them, nor give what no decoder gave."""

import json
import pathlib
import subprocess
import sys

import pytest


def fuzzed(videos, pictures):
    """The counts of a run; a fault names the file, the last one on stderr."""
    script = pathlib.Path(__file__).with_name("fuzz_reader.py")
    command = [sys.executable, script, f"--videos={videos}", f"--pictures={pictures}"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("videos", "pictures"),
    [
        pytest.param(56, 240, id="some"),
        pytest.param(2000, 10_000, id="many", marks=pytest.mark.large),
    ],
)
def test_damaged_files_are_told_of_or_read(videos, pictures):
    counts = fuzzed(videos, pictures)
    assert counts["videos"]["files"] == videos and counts["pictures"]["files"] == pictures
    # Neither all refused nor all whole: the damage is of the kind that decoders see.
    for kind, outcomes in (
        ("videos", ("frames", "not a video")),
        ("pictures", ("a picture", "unreadable", "not a picture")),
    ):
        for outcome in outcomes:
            assert counts[kind][outcome] > 0.1 * counts[kind]["files"]
