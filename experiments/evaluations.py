"""What a page says of its runs' evaluations: a table of methods, and bars that hold or do not."""

import json
import pathlib

import numpy as np

from fml_tf.evaluation.results import case_figures
from fml_tf.evaluation.statistics import compare

RESULTS = "evaluation/results.json"
"""Of a run's folder."""
# Constants, whoever trained: listed once.
_CONSTANTS = ("mean face", "training mean")


def evaluation_lines(content: dict, runs: pathlib.Path) -> list[str]:
    """The tables of a list's evaluations, as far as they were made; empty without any."""
    results = {run["name"]: _read(runs / run["name"] / RESULTS) for run in content["run"]}
    results = {name: result for name, result in results.items() if result}
    if not results:
        return []
    what = {run["name"]: run["what"] for run in content["run"]}
    measures = content["measures"]
    lines = ["| run | method | " + " | ".join(measures) + " |"]
    lines += ["| --- | --- |" + " --- |" * len(measures)]
    listed = set()
    for name, result in results.items():
        for method, values in result["methods"].items():
            if method in listed:
                continue
            if method in _CONSTANTS:
                listed.add(method)
            means = [values["summaries"].get(measure, {}).get("mean") for measure in measures]
            cells = ["–" if mean is None else f"{mean:.2f}" for mean in means]
            lines.append(f"| {what[name]} | {method} | " + " | ".join(cells) + " |")
    return [*lines, "", *_bar_lines(content.get("bar", []), results)]


def _bar_lines(bars: list[dict], results: dict) -> list[str]:
    lines = []
    for bar in bars:
        ours, theirs = (
            case_figures(results[run], method, bar["measure"]) if run in results else {}
            for run, method in (bar["ours"], bar["theirs"])
        )
        shared = [case for case in ours if case in theirs]
        if not shared:
            continue
        ours, theirs = (np.array([f[case] for case in shared]) for f in (ours, theirs))
        ratio = ours.mean() / theirs.mean()
        p_value = compare(ours, theirs, seed=0).p_value
        verdict = "holds" if ratio <= bar["most"] else "does not hold"
        lines.append(
            f"| {bar['what']} | {bar['measure']} | {ratio:.3f} | {bar['most']:g} | "
            f"{bar['paper']} | {p_value:.2g} | {verdict} |"
        )
    if lines:
        head = ["| bar | measure | ratio | at most | papers | p | |", "| --- |" + " --- |" * 6]
        lines = [*head, *lines, ""]
    return lines


def _read(path: pathlib.Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
