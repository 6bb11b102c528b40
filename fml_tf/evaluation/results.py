"""From the files of all cases to `results.json`, and the comparison with other evaluations."""

import pathlib
from collections.abc import Sequence

import numpy as np

from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols.base import Protocol
from fml_tf.evaluation.runner import groups, read_case
from fml_tf.evaluation.statistics import compare, summarise


def collect(
    protocol: Protocol,
    methods: Sequence[Method],
    names: Sequence[str],
    output_dir: pathlib.Path,
    seed: int,
) -> dict:
    """Gathers what `run_cases` wrote.

    Returns:
      JSON with `methods`: by name, `summaries` of each measure over the cases, `distances`
      (median, mean, standard deviation over all points of all trials), `failed` trials and the
      number of `trials`; `subsets`: the same for each part of the data set; `paired`: comparisons
      of each two methods by the main measure; `cases`: by name and method, the trials with all
      figures.
    """
    num_frames = protocol.cases()
    cases, distances, subsets = {}, {}, {}
    for name in names:
        cases[name] = {}
        for method in methods:
            if groups(num_frames[name], method.num_frames):
                cases[name][method.name], rows = read_case(output_dir, method, name)
                distances[name, method.name] = rows.reshape(-1)
        if subset := protocol.subset(name):
            subsets.setdefault(subset, []).append(name)

    def summaries(members):
        return {
            method.name: _summarise_method(
                protocol,
                [cases[name][method.name] for name in members if method.name in cases[name]],
                [distances[name, method.name] for name in members if method.name in cases[name]],
                seed,
            )
            for method in methods
            if any(method.name in cases[name] for name in members)
        }

    result = {
        "methods": summaries(names),
        "subsets": {subset: summaries(subsets[subset]) for subset in sorted(subsets)},
        "cases": cases,
    }
    result["paired"] = _pairs(protocol, result, seed)
    return result


def case_figures(result: dict, method: str, measure: str) -> dict[str, float]:
    """A measure of each case that has it: the mean over the case's trials."""
    figures = {}
    for name, by_method in result["cases"].items():
        values = [
            trial["figures"][measure]
            for trial in by_method.get(method, [])
            if measure in trial.get("figures", {})
        ]
        if values:
            figures[name] = float(np.mean(values))
    return figures


def compare_results(ours: dict, theirs: dict, measure: str, seed: int) -> list[dict]:
    """Paired comparison of the methods that two evaluations share, on the cases that they share.

    Where they share no method, as with `--predictions`, each of ours against each of theirs.

    Raises:
      ValueError: no case in common.
    """
    shared = [(name, name) for name in ours["methods"] if name in theirs["methods"]]
    pairs = shared or [(a, b) for a in ours["methods"] for b in theirs["methods"]]
    rows = [_pair(ours, a, theirs, b, measure, seed) for a, b in pairs]
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError(f"the evaluations share no case with the figure {measure!r}")
    return rows


def _summarise_method(protocol, trials_of_cases, distances_of_cases, seed):
    trials = [trial for case in trials_of_cases for trial in case]
    summaries = {}
    for measure in protocol.measures:
        per_case = [
            [t["figures"][measure.name] for t in case if measure.name in t.get("figures", {})]
            for case in trials_of_cases
        ]
        values = [np.mean(values) for values in per_case if values]
        if values:
            summary = summarise(values, seed)
            summaries[measure.name] = {
                "mean": _rounded(summary.mean),
                "interval": summary.interval and [_rounded(v) for v in summary.interval],
                "median": _rounded(summary.median),
                "sd": _rounded(summary.sd),
                "cases": summary.n,
            }
    result = {
        "summaries": summaries,
        "cases": len(trials_of_cases),
        "trials": len(trials),
        "failed": [{"frames": t["frames"], "reason": t["failed"]} for t in trials if "failed" in t],
        "left_out": sorted({name for t in trials for name in t.get("left_out", [])}),
    }
    pooled = np.concatenate(distances_of_cases)
    if len(pooled):
        result["distances"] = {
            "median": _rounded(np.median(pooled)),
            "mean": _rounded(pooled.mean(dtype=np.float64)),
            "sd": _rounded(pooled.std(dtype=np.float64)),
            "points": len(pooled),
        }
    return result


def _pairs(protocol, result, seed):
    names, measure = list(result["methods"]), protocol.measures[0].name
    rows = [
        _pair(result, ours, result, theirs, measure, seed)
        for i, theirs in enumerate(names)
        for ours in names[i + 1 :]
    ]
    return [row for row in rows if row]


def _pair(result_a, method_a, result_b, method_b, measure, seed):
    ours = case_figures(result_a, method_a, measure)
    theirs = case_figures(result_b, method_b, measure)
    shared = [name for name in ours if name in theirs]
    if not shared:
        return None
    comparison = compare([ours[n] for n in shared], [theirs[n] for n in shared], seed)
    return {
        "ours": method_a,
        "theirs": method_b,
        "measure": measure,
        "difference": _rounded(comparison.difference),
        "interval": comparison.interval and [_rounded(v) for v in comparison.interval],
        "p_value": _rounded(comparison.p_value),
        "cases": comparison.n,
    }


def _rounded(value):
    return float(f"{float(value):.6g}")
