"""Runs the trainings of a list one after the other, and writes their figures as a table.

    python -m experiments --list=experiments/learning.toml

A list is data: a `title`, a `text`, the flags of `train.py` that all runs have (`common`), and
for each `[[run]]` a `name`, the `config` that it starts from, `what` it is in words, and further
`flags`. Runs lie in runs/experiments/LIST/NAME. What was finished before is not run again, and a
run that was cut resumes; a run of other flags than the list has now is refused. The table goes to
docs/results/LIST.md after each run; its figures are those of the runs' `metrics.json`, on people of
the split 'test'.

With `evaluation`, flags of `evaluate.py`, each run is evaluated too, and the page has a table of
the `measures` that the list names. A `[[bar]]` there is a ratio that is to be at most `most`: of a
`measure` of `ours` to that of `theirs`, [run, method] each, beside what the papers print.
"""

import itertools
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence

from absl import app, flags

from experiments.evaluations import RESULTS, evaluation_lines
from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_json, write_text

_LIST = flags.DEFINE_string("list", None, "TOML file of the trainings.", required=True)
_RUNS = flags.DEFINE_string("runs_dir", "runs/experiments", "Where the runs lie.")
_DOCS = flags.DEFINE_string("docs_dir", "docs/results", "Where the tables go.")

METRICS, SETTINGS, EVALUATED = "metrics.json", "experiment.json", "evaluated.json"
# Column, key of `metrics.json`, digits.
_COLUMNS = (
    ("R², M = 1", "shape_r2_m1", 3),
    ("R², M = 4", "shape_r2_m4", 3),
    ("shape, M = 4, mm", "shape_m4", 2),
    ("expression R²", "expression_r2_m4", 3),
    ("landmarks, px", "landmark_px", 2),
    ("albedo, of 255", "albedo_m4", 2),
    ("steps", "steps", 0),
    ("minutes", "seconds", 0),
)


def read_list(path: pathlib.Path) -> dict:
    """The content of a list.

    Raises:
      FileNotFoundError: no such file.
      ValueError: no TOML, or no list of trainings with names of their own.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    needed = (("title", "text", "common", "run"), ("name", "what", "config"))
    for keys, tables in zip(needed, ([content], content.get("run", ()))):
        for key, given in itertools.product(keys, tables):
            if key not in given:
                raise ValueError(f"{path}: {key!r} is missing in {given}")
    if not content["run"]:
        raise ValueError(f"{path}: no [[run]]")
    names = [run["name"] for run in content["run"]]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two runs have one name")
    return content


def command_of(content: dict, run: dict, runs: pathlib.Path) -> list[str]:
    """The flags of `train.py` for a run."""
    flags_of_run = [*content["common"], *run.get("flags", ())]
    return [f"--flagfile={run['config']}", *flags_of_run, f"--output_dir={runs / run['name']}"]


def run_all(
    content: dict,
    runs: pathlib.Path,
    table: pathlib.Path,
    train: Sequence[str],
    evaluate: Sequence[str],
) -> None:
    """Trains and evaluates what is not yet, and writes the table after each.

    Args:
      content: of a list.
      runs: the folder that the runs lie in.
      table: the page to write.
      train, evaluate: commands that take the flags of `train.py` and of `evaluate.py`.

    Raises:
      FileNotFoundError: no such config.
      ValueError: a training or an evaluation failed, or what lies in a run's folder has other
        flags.
    """
    for run in content["run"]:
        folder, command = runs / run["name"], command_of(content, run, runs)
        settings = {"flags": command, "config": pathlib.Path(run["config"]).read_text("utf-8")}
        if not (folder / SETTINGS).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / SETTINGS, settings)
        elif json.loads((folder / SETTINGS).read_text("utf-8")) != settings:
            raise ValueError(
                f"{folder}: was trained with other flags; remove it, or rename the run"
            )
        if not (folder / METRICS).is_file():
            print(f"\n{run['name']}", flush=True)
            if subprocess.run([*train, *command], check=False).returncode:
                raise ValueError(f"{run['name']}: the training failed; its output is above")
        _evaluate(content, run["name"], folder, evaluate)
        table.parent.mkdir(parents=True, exist_ok=True)
        write_text(table, table_of(content, runs))


def _evaluate(content: dict, name: str, folder: pathlib.Path, evaluate: Sequence[str]) -> None:
    asked, done = content.get("evaluation"), folder / EVALUATED
    if asked is None:
        return
    if done.is_file() and json.loads(done.read_text("utf-8")) == asked:
        return
    output_dir = (folder / RESULTS).parent
    command = [*evaluate, *asked, f"--checkpoint={folder}", f"--output_dir={output_dir}"]
    if subprocess.run(command, check=False).returncode:
        raise ValueError(f"{name}: the evaluation failed; its output is above")
    write_json(done, asked)


def table_of(content: dict, runs: pathlib.Path) -> str:
    """The page of a list, as far as it was run."""
    lines = [f"# {content['title']}", "", content["text"].strip(), ""]
    lines += ["| run | " + " | ".join(name for name, *_ in _COLUMNS) + " |"]
    lines += ["| --- |" + " --- |" * len(_COLUMNS)]
    commands, versions = [], {}
    for run in content["run"]:
        path = runs / run["name"] / METRICS
        if not path.is_file():
            continue
        metrics = json.loads(path.read_text(encoding="utf-8"))
        metrics["seconds"] /= 60
        cells = [
            f"{metrics[key]:.{digits}f}" if key in metrics else "–" for _, key, digits in _COLUMNS
        ]
        lines.append(f"| {run['what']} | " + " | ".join(cells) + " |")
        commands.append(f"python train.py {shlex.join(command_of(content, run, runs))}")
        used = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
        versions.setdefault(used, []).append(run["name"])
    lines += ["", *evaluation_lines(content, runs)]
    for used, names in versions.items():
        lines.append(f"- {', '.join(names)}: {used}.")
    lines += [f"- {os.cpu_count()} processors ({platform.machine()}).", ""]
    return "\n".join([*lines, "```", *commands, "```", ""])


def main(argv) -> None:
    """Reads the list and runs it."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    with one_line_errors("experiments"):
        path = pathlib.Path(_LIST.value)
        content = read_list(path)
        table = pathlib.Path(_DOCS.value) / f"{path.stem}.md"
        scripts = ([sys.executable, name] for name in ("train.py", "evaluate.py"))
        run_all(content, pathlib.Path(_RUNS.value) / path.stem, table, *scripts)
        print(f"Wrote {table}")


if __name__ == "__main__":
    app.run(main)
