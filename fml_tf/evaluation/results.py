"""From the files of all cases to `results.json`, `results.md` and the comparison with others."""

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
      number of `trials`; `paired`: comparisons of each two methods by the main measure; `cases`:
      by name and method, the trials with all figures.
    """
    num_frames = protocol.cases()
    cases = {name: {} for name in names}
    summaries = {}
    for method in methods:
        applied = [name for name in names if groups(num_frames[name], method.num_frames)]
        if not applied:
            continue
        pooled = []
        for name in applied:
            trials, distances = read_case(output_dir, method, name)
            cases[name][method.name] = trials
            pooled.append(distances.reshape(-1))
        summaries[method.name] = _summarise_method(
            protocol, [cases[name][method.name] for name in applied], seed
        )
        pooled = np.concatenate(pooled)
        if len(pooled):
            summaries[method.name]["distances"] = {
                "median": _rounded(np.median(pooled)),
                "mean": _rounded(pooled.mean(dtype=np.float64)),
                "sd": _rounded(pooled.std(dtype=np.float64)),
                "points": len(pooled),
            }
    result = {"methods": summaries, "cases": cases}
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


def _summarise_method(protocol, trials_of_cases, seed):
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
    return {
        "summaries": summaries,
        "cases": len(trials_of_cases),
        "trials": len(trials),
        "failed": [{"frames": t["frames"], "reason": t["failed"]} for t in trials if "failed" in t],
    }


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


def markdown(protocol: Protocol, result: dict) -> str:
    """The tables of `results.md`: figures of each method, the papers' beside them, comparisons."""
    methods = result["methods"]
    lines = [f"# {protocol.name}", "", _settings_line(result), ""]
    lines += _row("measure", "unit", *methods)
    lines += _row("---", "---", *["---"] * len(methods))
    for measure in protocol.measures:
        cells = [_cell(m["summaries"].get(measure.name)) for m in methods.values()]
        lines += _row(f"`{measure.name}`", measure.unit, *cells)
    if any("distances" in m for m in methods.values()):
        cells = [_distances_cell(m.get("distances")) for m in methods.values()]
        lines += _row("all points", "mm", *cells)
    lines += _row("cases", "", *[str(m["cases"]) for m in methods.values()])
    lines += _row(
        "failed trials", "", *[f"{len(m['failed'])} of {m['trials']}" for m in methods.values()]
    )
    lines += [
        "",
        "Mean ± SD over cases [95 % interval of the mean]; all points: median, mean ± SD.",
    ]
    lines += [f"- `{m.name}`: {m.meaning}" for m in protocol.measures]
    for title, rows in (
        ("Paired comparisons", result["paired"]),
        ("Compared with another evaluation", result.get("compared", [])),
    ):
        if rows:
            lines += ["", f"## {title}", "", *_row("ours", "theirs", "difference", "p", "cases")]
            lines += _row(*["---"] * 5)
            for row in rows:
                interval = _interval(row["interval"])
                lines += _row(
                    row["ours"],
                    row["theirs"],
                    f"{row['difference']:+.3f}{interval}",
                    f"{row['p_value']:.2g}",
                    str(row["cases"]),
                )
            lines += ["", f"Of `{rows[0]['measure']}`; negative: ours is better. Two-sided p of a"]
            lines += ["paired sign-flip permutation test."]
    failed = [(n, f) for n, m in methods.items() for f in m["failed"]]
    if failed:
        lines += ["", "## Failed", ""]
        lines += [f"- {n}: {', '.join(f['frames'])} {f['reason']}" for n, f in failed]
    return "\n".join(lines) + "\n"


def _settings_line(result):
    parts = [f"{key}: `{value}`" for key, value in result["identity"]["settings"].items()]
    parts.append(f"predicted by {result['identity']['predictor'][:16]}")
    return " · ".join(parts)


def _row(*cells):
    return ["| " + " | ".join(cells) + " |"]


def _cell(summary):
    if summary is None:
        return "–"
    return f"{summary['mean']:.3f} ± {summary['sd']:.3f}{_interval(summary['interval'])}"


def _distances_cell(distances):
    if distances is None:
        return "–"
    return f"{distances['median']:.3f}, {distances['mean']:.3f} ± {distances['sd']:.3f}"


def _interval(interval):
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
