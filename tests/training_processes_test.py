"""Runs in processes of their own: cut by `kill -9`, and shared by two workers over loopback."""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

pytestmark = pytest.mark.large

TESTS = pathlib.Path(__file__).parent
STEPS = 12

_RUN = """
import json, sys
from fml_tf.config import TrainConfig
from fml_tf.training.trainer import Trainer, make_strategy
output_dir, settings = sys.argv[1], json.loads(sys.argv[2])
config = TrainConfig(**settings)
strategy = make_strategy(config.distribution)
from fake_data import FakeBuilder
from training_trainer_test import MODEL
Trainer(MODEL, config, FakeBuilder(), output_dir, strategy).run()
"""


def _start(output_dir, environment=None, **changes):
    from training_trainer_test import RUN

    config = dataclasses.replace(
        RUN, pretrain_steps=4, joint_steps=6, finetune_steps=2, image_summary_every=1000, **changes
    )
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(output_dir), json.dumps(dataclasses.asdict(config))],
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def _losses(output_dir):
    """Total loss by step; of a step that was run twice, the later."""
    events = event_accumulator.EventAccumulator(
        str(output_dir / "tensorboard"), size_guidance={"tensors": 0}
    )
    events.Reload()
    return {e.step: tf.make_ndarray(e.tensor_proto).item() for e in events.Tensors("loss/total")}


def _last_checkpoint(output_dir):
    return max(
        (int(path.stem.split("-")[1]) for path in (output_dir / "checkpoints").glob("*.index")),
        default=0,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("whole")
    _finish(_start(output_dir))
    return _losses(output_dir)


def test_killed_runs_resume_with_the_same_losses(whole, tmp_path):
    process = _start(tmp_path)
    while _last_checkpoint(tmp_path) < 6:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert _last_checkpoint(tmp_path) < STEPS
    _finish(_start(tmp_path))
    resumed = _losses(tmp_path)
    assert {s: resumed[s] for s in range(7, STEPS + 1)} == {
        s: whole[s] for s in range(7, STEPS + 1)
    }


def test_two_workers_give_the_losses_of_one(whole, tmp_path):
    ports = []
    for _ in range(2):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    processes = [
        _start(
            tmp_path,
            {
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                )
            },
            distribution="multiworker",
        )
        for index in range(2)
    ]
    for process in processes:
        _finish(process)
    shared = _losses(tmp_path)
    assert shared.keys() == whole.keys()
    for step, loss in whole.items():
        assert shared[step] == pytest.approx(loss, rel=1e-3), step
