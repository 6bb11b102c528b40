"""The benchmark of the rendering backends runs, and compares what it says."""

import re
import shutil

import pytest

from benchmarks import machine, rendering


@pytest.mark.large
@pytest.mark.skipif(shutil.which("g++") is None, reason="tensorflow-graphics' op needs g++")
def test_compares_both_backends(monkeypatch, capsys):
    monkeypatch.setattr(machine, "GEMM_SIZE", 64)
    monkeypatch.setattr(machine, "STREAM_BYTES", 2**16)
    rendering.measure("4k", size=24, num_frames=2, rounds=1)
    output = capsys.readouterr().out
    ratios = [float(ratio) for ratio in re.findall(r"× ([\d.]+)", output)]
    assert len(ratios) == 2 + 3 + 3 + 1 and min(ratios) > 0
    assert output.count("  fast  ") == 4
