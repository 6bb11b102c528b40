"""`results.md`: the tables of an evaluation, and the papers' own figures beside them."""

from fml_tf.evaluation.protocols.base import Protocol
from fml_tf.evaluation.quoted import QUOTED


def markdown(protocol: Protocol, result: dict) -> str:
    """The text of `results.md`.

    Args:
      protocol: names and explains the measures.
      result: what `results.json` holds.
    """
    methods = result["methods"]
    lines = [f"# {protocol.name}", "", _settings_line(result), ""]
    lines += _table_head("measure", "unit", *methods)
    for measure in protocol.measures:
        cells = [_cell(m["summaries"].get(measure.name)) for m in methods.values()]
        lines += _row(f"`{measure.name}`", measure.unit, *cells)
    if any("distances" in m for m in methods.values()):
        cells = [_distances_cell(m.get("distances")) for m in methods.values()]
        lines += _row("all points", "mm", *cells)
    legend = (
        "Mean ± SD over cases [95 % interval of the mean, by people]; "
        "all points: median, mean ± SD."
    )
    if explained := result.get("r2"):
        legend += " R²: 1 less the squared error over that of the training people's mean."
        cells = [f"{explained[name]:.3f}" if name in explained else "–" for name in methods]
        lines += _row(f"R² of `{protocol.measures[0].name}`", "", *cells)
    lines += _row("cases", "", *[str(m["cases"]) for m in methods.values()])
    lines += _row("failed trials", "", *[_failures_cell(m) for m in methods.values()])
    lines += ["", legend]
    lines += [f"- `{m.name}`: {m.meaning}" for m in protocol.measures]
    lines += [f"- `{name}`: {m['note']}" for name, m in methods.items() if m["note"]]
    lines += _quoted(protocol.name)
    lines += _subsets(protocol, result)
    lines += _comparisons("Paired comparisons", result["paired"])
    lines += _comparisons("Compared with another evaluation", result.get("compared", []))
    lines += _failures(methods)
    return "\n".join(lines) + "\n"


def _quoted(name):
    rows = QUOTED.get(name, [])
    if not rows:
        return []
    lines = ["", "## Quoted from the papers, not measured here", ""]
    lines += _table_head("source", "method", "M", "measure", "unit", "mean ± SD")
    for row in rows:
        frames = "video" if row.num_frames is None else str(row.num_frames)
        figure = f"{row.mean:.2f}" + ("" if row.sd is None else f" ± {row.sd:.2f}")
        lines += _row(row.source, row.method, frames, row.measure, row.unit, figure)
    return lines


def _subsets(protocol, result):
    if not result["subsets"]:
        return []
    measure = protocol.measures[0]
    lines = [
        "",
        "## By part of the data set",
        "",
        *_table_head("part", "figure", *result["methods"]),
    ]
    for subset, methods in result["subsets"].items():
        columns = [methods.get(name, {}) for name in result["methods"]]
        cells = [_cell(m.get("summaries", {}).get(measure.name)) for m in columns]
        lines += _row(subset, f"`{measure.name}`, {measure.unit}", *cells)
        cells = [_distances_cell(m.get("distances")) for m in columns]
        lines += _row(subset, "all points, mm", *cells)
        cells = [_failures_cell(m) if m else "–" for m in columns]
        lines += _row(subset, "failed trials", *cells)
    return lines


def _comparisons(title, rows):
    if not rows:
        return []
    columns = ("ours", "theirs", "measure", "difference", "p", "cases")
    lines = ["", f"## {title}", "", *_table_head(*columns)]
    for row in rows:
        difference = f"{row['difference']:+.3f}{_interval(row['interval'])}"
        test = f"{row['p_value']:.2g}", str(row["cases"])
        lines += _row(row["ours"], row["theirs"], f"`{row['measure']}`", difference, *test)
    return [
        *lines,
        "",
        "Negative: ours is better. Two-sided p of a paired sign-flip permutation test.",
    ]


def _failures(methods):
    """What failed, with the methods for which it did, and what they passed over."""
    failed, left_out, too_few = {}, {}, {}
    for name, method in methods.items():
        for trial in method["failed"]:
            key = f"{', '.join(trial['frames'])} {trial['reason']}".strip()
            failed.setdefault(key, []).append(name)
        for case in method["too_few_frames"]:
            too_few.setdefault(case, []).append(name)
        for frame in method["left_out"]:
            left_out.setdefault(frame, []).append(name)
    lines = []
    if failed:
        lines += ["", "## Failed", ""]
        # A case that could not be read has several trials of one method.
        lines += [f"- {key} ({', '.join(dict.fromkeys(names))})" for key, names in failed.items()]
    if too_few:
        lines += ["", "## Cases with too few frames", ""]
        lines += [f"- {case} ({', '.join(names)})" for case, names in too_few.items()]
    if left_out:
        lines += ["", "## Frames left out, with no usable face", ""]
        lines += [f"- {frame} ({', '.join(names)})" for frame, names in left_out.items()]
    return lines


def _settings_line(result):
    parts = [f"{key}: `{value}`" for key, value in result["identity"]["settings"].items()]
    parts.append(f"predicted by {result['identity']['predictor'][:16]}")
    return " · ".join(parts)


def _table_head(*cells):
    return [*_row(*cells), *_row(*["---"] * len(cells))]


def _row(*cells):
    return ["| " + " | ".join(cells) + " |"]


def _cell(summary):
    if summary is None:
        return "–"
    spread = f" ± {summary['sd']:.3f}" if summary["cases"] > 1 else ""
    return f"{summary['mean']:.3f}{spread}{_interval(summary['interval'])}"


def _distances_cell(distances):
    if distances is None:
        return "–"
    return f"{distances['median']:.3f}, {distances['mean']:.3f} ± {distances['sd']:.3f}"


def _failures_cell(method):
    return f"{len(method['failed'])} of {method['trials']}"


def _interval(interval):
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
