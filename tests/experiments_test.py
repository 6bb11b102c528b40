"""Lists of trainings: what is run, what is not run again, and what the table says."""

import json
import pathlib
import sys

import numpy as np
import pytest

from experiments.__main__ import command_of, read_list, run_all

ROOT = pathlib.Path(__file__).parents[1]
TRAIN = """
import json, pathlib, sys
values = dict(flag[2:].split("=") for flag in sys.argv[1:])
folder = pathlib.Path(values["output_dir"])
if values.get("seed") == "13":
    sys.exit(2)
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "calls", "a") as calls:
    calls.write("x")
metrics = {"shape_r2_m1": 0.25, "steps": int(values["joint_steps"]), "seconds": 120.0}
(folder / "metrics.json").write_text(json.dumps({**metrics, "versions": {"fml_tf": "9"}}))
"""


def write_list(path, *runs, **changes):
    content = {"title": '"Two"', "text": '"Words."', "common": '["--joint_steps=7"]', **changes}
    lines = [f"{key} = {value}" for key, value in content.items()]
    for name, flags in runs:
        lines += [
            "[[run]]",
            f'name = "{name}"',
            f'what = "run {name}"',
            f'config = "{path.parent}/c.cfg"',
        ]
        lines += [f"flags = {json.dumps(flags)}"]
    (path.parent / "c.cfg").write_text("--batch_size=4")
    path.write_text("\n".join(lines))
    return read_list(path)


EVALUATE = """
import json, pathlib, sys
values = dict(flag[2:].split("=") for flag in sys.argv[1:])
folder = pathlib.Path(values["output_dir"])
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "calls", "a") as calls:
    calls.write("x")
error = 1.0 if values["checkpoint"].endswith("a") else 2.0
cases = {f"case{i}": error + 0.01 * i for i in range(8)}
methods = {"mean face": 3.0, "pooled 1": error}
results = {
    "methods": {m: {"summaries": {"surface": {"mean": e}}} for m, e in methods.items()},
    "cases": {c: {"pooled 1": [{"figures": {"surface": e}}]} for c, e in cases.items()},
}
(folder / "results.json").write_text(json.dumps(results))
"""


@pytest.fixture
def scripts(tmp_path):
    """Stand-ins of `train.py` and `evaluate.py`."""
    commands = []
    for name, code in (("train", TRAIN), ("evaluate", EVALUATE)):
        script = tmp_path / f"fake_{name}.py"
        script.write_text(code)
        commands.append([sys.executable, str(script)])
    return commands


def test_runs_once_and_says_what_was_run(tmp_path, scripts):
    content = write_list(tmp_path / "l.toml", ("a", ["--joint_steps=9"]), ("b", []))
    table = tmp_path / "docs" / "l.md"
    for _ in range(2):
        run_all(content, tmp_path / "runs", table, *scripts)
    assert (tmp_path / "runs" / "a" / "calls").read_text() == "x"
    text = table.read_text()
    assert "| run a | 0.250 | – | – | – | – | – | 9 | 2 |" in text
    assert "| run b | 0.250 | – | – | – | – | – | 7 | 2 |" in text
    flags = f"--joint_steps=7 --joint_steps=9 --output_dir={tmp_path}/runs/a"
    assert f"python train.py --flagfile={tmp_path}/c.cfg {flags}" in text
    assert "- a, b: fml_tf 9." in text


def test_evaluations_and_bars(tmp_path, scripts):
    bar = (
        '{what = "a beats b", measure = "surface", ours = ["a", "pooled 1"], '
        'theirs = ["b", "pooled 1"], most = 0.9, paper = "0.8"}'
    )
    changes = {"evaluation": '["--num_frames=1"]', "measures": '["surface"]', "bar": f"[{bar}]"}
    content = write_list(tmp_path / "l.toml", ("a", []), ("b", []), **changes)
    table, runs = tmp_path / "l.md", tmp_path / "runs"
    for _ in range(2):
        run_all(content, runs, table, *scripts)
    text = table.read_text()
    assert "| run a | pooled 1 | 1.00 |" in text and "| run b | pooled 1 | 2.00 |" in text
    assert text.count("mean face") == 1
    ratio = np.mean(1 + 0.01 * np.arange(8)) / np.mean(2 + 0.01 * np.arange(8))
    assert f"| a beats b | surface | {ratio:.3f} | 0.9 | 0.8 | 0.0078 | holds |" in text
    assert (runs / "a" / "evaluation" / "calls").read_text() == "x"
    content["evaluation"], content["bar"][0]["most"] = ["--num_frames=2"], 0.4
    run_all(content, runs, table, *scripts)
    assert (runs / "a" / "evaluation" / "calls").read_text() == "xx"
    assert "does not hold" in table.read_text()


def test_what_was_run_with_other_flags_is_refused(tmp_path, scripts):
    run_all(write_list(tmp_path / "l.toml", ("a", [])), tmp_path, tmp_path / "l.md", *scripts)
    changed = write_list(tmp_path / "l.toml", ("a", ["--joint_steps=9"]))
    with pytest.raises(ValueError, match="a: was trained with other flags"):
        run_all(changed, tmp_path, tmp_path / "l.md", *scripts)
    again = write_list(tmp_path / "l.toml", ("a", []))
    (tmp_path / "c.cfg").write_text("--batch_size=5")
    with pytest.raises(ValueError, match="a: was trained with other flags"):
        run_all(again, tmp_path, tmp_path / "l.md", *scripts)


def test_a_failed_training_is_named_and_the_finished_ones_are_kept(tmp_path, scripts):
    content = write_list(tmp_path / "l.toml", ("a", []), ("b", ["--seed=13"]), ("c", []))
    with pytest.raises(ValueError, match="b: the training failed"):
        run_all(content, tmp_path / "runs", tmp_path / "l.md", *scripts)
    assert "run a" in (tmp_path / "l.md").read_text()
    assert not (tmp_path / "runs" / "c").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"title": "nonsense"}, "l.toml"), ({}, "two runs have one name")],
)
def test_a_bad_list_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_list(tmp_path / "l.toml", ("a", []), ("a", []), **change)


def test_a_list_of_nothing_is_refused(tmp_path):
    (tmp_path / "l.toml").write_text('title = "x"\ntext = "x"\ncommon = []\nrun = []\n')
    with pytest.raises(ValueError, match=r"no \[\[run\]\]"):
        read_list(tmp_path / "l.toml")


def test_a_list_without_a_title_is_refused(tmp_path):
    (tmp_path / "l.toml").write_text('text = "x"\ncommon = []\nrun = []\n')
    with pytest.raises(ValueError, match="'title' is missing"):
        read_list(tmp_path / "l.toml")


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*.toml")), ids=lambda p: p.stem)
def test_lists_of_the_project_name_configs_that_there_are(path):
    content = read_list(path)
    for run in content["run"]:
        assert (ROOT / run["config"]).is_file()
        assert command_of(content, run, ROOT)[0] == f"--flagfile={run['config']}"
