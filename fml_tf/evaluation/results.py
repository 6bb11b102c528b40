"""From the files of all cases to `results.json`, and the comparison with other evaluations."""

import pathlib
from collections.abc import Sequence

import numpy as np

from fml_tf.evaluation.predictors import TRAINING_MEAN, Method
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
      (median, mean, standard deviation over all points of all trials), `failed` trials, the number
      of `trials`, the cases with `too_few_frames` and the method's `note`; `subsets`: the same for
      each part of the data set; `paired`: comparisons of each two methods by the first measure
      that both have; `cases`: by name and method, the trials with all figures; `r2`, where
      `TRAINING_MEAN` is among the methods: by method, 1 less its squared error over that of
      this constant, by the first measure and over all cases.
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
        found = {}
        for method in methods:
            applied = [name for name in members if method.name in cases[name]]
            if applied:
                trials = {name: cases[name][method.name] for name in applied}
                points = [distances[name, method.name] for name in applied]
                found[method.name] = {
                    **_summarise_method(protocol, trials, points, seed),
                    "too_few_frames": [name for name in members if name not in trials],
                    "note": method.note,
                }
        return found

    result = {
        "methods": summaries(names),
        "subsets": {subset: summaries(subsets[subset]) for subset in sorted(subsets)},
        "cases": cases,
    }
    result["paired"] = _pairs(protocol, result, seed)
    if TRAINING_MEAN in result["methods"]:
        result["r2"] = _explained(protocol, result)
    return result


def _explained(protocol, result):
    measure = protocol.measures[0].name

    def squared(case, method):
        return np.mean(np.square(_figures(case[method], measure)))

    explained = {}
    for method in result["methods"]:
        shared = [
            case
            for case in result["cases"].values()
            if all(_figures(case.get(name, []), measure) for name in (method, TRAINING_MEAN))
        ]
        if shared and method != TRAINING_MEAN:
            left = sum(squared(case, method) for case in shared)
            whole = sum(squared(case, TRAINING_MEAN) for case in shared)
            explained[method] = _rounded(1.0 - left / whole)
    return explained


def case_figures(result: dict, method: str, measure: str) -> dict[str, float]:
    """A measure of each case that has it: the mean over the case's trials."""
    return {
        name: float(np.mean(values))
        for name, by_method in result["cases"].items()
        if (values := _figures(by_method.get(method, []), measure))
    }


def compare_results(protocol: Protocol, ours: dict, theirs: dict, seed: int) -> list[dict]:
    """Paired comparison of the methods that two evaluations share, on the cases that they share.

    By the first of the protocol's measures that both have for a case: meshes of another topology
    have no per-vertex error.

    Where they share no method, as with `--predictions`, each of ours against each of theirs.

    Raises:
      ValueError: no case in common.
    """
    shared = [(name, name) for name in ours["methods"] if name in theirs["methods"]]
    pairs = shared or [(a, b) for a in ours["methods"] for b in theirs["methods"]]
    rows = [_pair(protocol, ours, a, theirs, b, seed) for a, b in pairs]
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError("the evaluations share no case with a figure of the same measure")
    return rows


def _summarise_method(protocol, trials_of_cases, distances, seed):
    trials = [trial for case in trials_of_cases.values() for trial in case]
    summaries = {}
    for measure in protocol.measures:
        figures = {
            name: np.mean(values)
            for name, case in trials_of_cases.items()
            if (values := _figures(case, measure.name))
        }
        if figures:
            people = [protocol.person(name) for name in figures]
            summary = summarise(list(figures.values()), seed, people)
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
    pooled = np.concatenate(distances)
    if len(pooled):
        result["distances"] = {
            "median": _rounded(np.median(pooled)),
            "mean": _rounded(pooled.mean(dtype=np.float64)),
            "sd": _rounded(pooled.std(dtype=np.float64)),
            "points": len(pooled),
        }
    return result


def _figures(trials, measure):
    return [t["figures"][measure] for t in trials if measure in t.get("figures", {})]


def _pairs(protocol, result, seed):
    names = list(result["methods"])
    rows = [
        _pair(protocol, result, ours, result, theirs, seed)
        for i, theirs in enumerate(names)
        for ours in names[i + 1 :]
    ]
    return [row for row in rows if row]


def _pair(protocol, result_a, method_a, result_b, method_b, seed):
    for measure in protocol.measures:
        ours = case_figures(result_a, method_a, measure.name)
        theirs = case_figures(result_b, method_b, measure.name)
        shared = [name for name in ours if name in theirs]
        if shared:
            break
    else:
        return None
    comparison = compare(
        [ours[name] for name in shared],
        [theirs[name] for name in shared],
        seed,
        [protocol.person(name) for name in shared],
    )
    return {
        "ours": method_a,
        "theirs": method_b,
        "measure": measure.name,
        "difference": _rounded(comparison.difference),
        "interval": comparison.interval and [_rounded(v) for v in comparison.interval],
        "p_value": _rounded(comparison.p_value),
        "cases": comparison.n,
    }


def _rounded(value):
    return float(f"{float(value):.6g}")
