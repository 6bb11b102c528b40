"""FML's numbers: losses, gradients and weights over 20 steps by the paper's own terms.

`reference/self_supervised_steps.json` holds those of the configuration beside it. Until encoders,
face models and losses had become parts that can be exchanged they were those of version 0.1; since
then B_G leaves out hidden pockets, and the albedo's rate does not fall in fine-tuning. On a machine
like the one that wrote it every bit must agree; elsewhere, where other kernels round otherwise, the
first steps must.
A change that is meant to change them rewrites the file, in a commit that says why:

    PYTHONPATH=.:tests python tests/numbers_test.py --write

The steps run in a process of their own with one thread: with several, sums come out in another
order now and then where the machine is busy.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from fake_data import FakeBuilder

from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.training.trainer import Trainer, make_strategy

ROOT = pathlib.Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "reference" / "self_supervised_steps.json"
# The stages in small, so that each of them comes up.
STAGES = {"pretrain_steps": 8, "joint_steps": 8, "finetune_steps": 4}


def machine() -> str:
    """What rounding hangs on: processor, threads, TensorFlow."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        lines = {line for line in text.splitlines() if line.startswith(("model name", "flags"))}
    except OSError:
        lines = set()
    told = "\n".join([*sorted(lines), str(os.cpu_count()), tf.__version__, np.__version__])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def measure() -> dict:
    """Losses of all steps, and the state of all weights after them."""
    values = flags.FlagValues()
    define_flags(ModelConfig, "numbers", values)
    define_flags(TrainConfig, "numbers", values)
    values(["numbers", f"--flagfile={REFERENCE.with_suffix('.cfg')}"])
    config = dataclasses.replace(
        from_flags(TrainConfig, values), **STAGES, checkpoint_every=1000, image_summary_every=1000
    )
    builder = FakeBuilder(num_examples=8, num_frames=4, size=240)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            from_flags(ModelConfig, values), config, builder, folder, make_strategy("none")
        )
        losses = []
        step_of_stage = trainer._step_of_stage

        def recording(stage):
            def step(batch, rates):
                result = step_of_stage(stage)(batch, rates)
                named = dict(zip([*trainer.objective.terms, *trainer._measures], result.numpy()))
                losses.append({name: float(value) for name, value in named.items()})
                return result

            return step

        trainer._step_of_stage = recording
        trainer.run()
    weights = {}
    for index, weight in enumerate(trainer.model.trainable_weights):
        # Adam's first moment is a sum of the gradients of all steps.
        gradients = trainer.optimizer.first_moments[index].numpy()
        weights[weight.path] = {
            "weight": _hash(weight.numpy()),
            "gradients": _hash(gradients),
            "squared_gradients": _hash(trainer.optimizer.second_moments[index].numpy()),
            "weight_norm": float(np.linalg.norm(weight.numpy().astype(np.float64))),
        }
    return {"losses": losses, "weights": weights}


def measure_alone() -> dict:
    """`measure`, in a process with one thread."""
    threads = dict.fromkeys(
        ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    run = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, **threads, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(run.stdout)


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured():
    return measure_alone()


def test_losses_gradients_and_weights_are_those_of_before(reference, measured):
    if machine() != reference["machine"]:
        pytest.skip("written on another machine: bits differ, see the next test")
    assert measured["losses"] == reference["losses"]
    assert measured["weights"] == reference["weights"]


def test_the_first_steps_agree_on_any_machine(reference, measured):
    for step in range(4):
        for name, value in reference["losses"][step].items():
            assert measured["losses"][step][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    assert measured["weights"].keys() == reference["weights"].keys()
    for path, expected in reference["weights"].items():
        norm = measured["weights"][path]["weight_norm"]
        assert norm == pytest.approx(expected["weight_norm"], rel=0.05, abs=1e-3), path


if __name__ == "__main__":
    if "--write" in sys.argv:
        text = json.dumps({"machine": machine(), **measure_alone()}, indent=1)
        REFERENCE.write_text(f"{text}\n", encoding="utf-8")
        sys.exit(f"Wrote {REFERENCE.relative_to(ROOT)}")
    print(json.dumps(measure()))
