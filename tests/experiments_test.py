"""Lists of trainings: what is run, what is not run again, and what the table says."""

import json
import pathlib
import sys

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


@pytest.fixture
def train(tmp_path):
    script = tmp_path / "fake_train.py"
    script.write_text(TRAIN)
    return [sys.executable, str(script)]


def test_runs_once_and_says_what_was_run(tmp_path, train):
    content = write_list(tmp_path / "l.toml", ("a", ["--joint_steps=9"]), ("b", []))
    table = tmp_path / "docs" / "l.md"
    for _ in range(2):
        run_all(content, tmp_path / "runs", table, train)
    assert (tmp_path / "runs" / "a" / "calls").read_text() == "x"
    text = table.read_text()
    assert "| run a | 0.250 | – | – | – | – | – | 9 | 2 |" in text
    assert "| run b | 0.250 | – | – | – | – | – | 7 | 2 |" in text
    flags = f"--joint_steps=7 --joint_steps=9 --output_dir={tmp_path}/runs/a"
    assert f"python train.py --flagfile={tmp_path}/c.cfg {flags}" in text
    assert "- a, b: fml_tf 9." in text


def test_what_was_run_with_other_flags_is_refused(tmp_path, train):
    run_all(write_list(tmp_path / "l.toml", ("a", [])), tmp_path, tmp_path / "l.md", train)
    changed = write_list(tmp_path / "l.toml", ("a", ["--joint_steps=9"]))
    with pytest.raises(ValueError, match="a: was trained with other flags"):
        run_all(changed, tmp_path, tmp_path / "l.md", train)
    again = write_list(tmp_path / "l.toml", ("a", []))
    (tmp_path / "c.cfg").write_text("--batch_size=5")
    with pytest.raises(ValueError, match="a: was trained with other flags"):
        run_all(again, tmp_path, tmp_path / "l.md", train)


def test_a_failed_training_is_named_and_the_finished_ones_are_kept(tmp_path, train):
    content = write_list(tmp_path / "l.toml", ("a", []), ("b", ["--seed=13"]), ("c", []))
    with pytest.raises(ValueError, match="b: the training failed"):
        run_all(content, tmp_path / "runs", tmp_path / "l.md", train)
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
