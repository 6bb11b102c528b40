"""`report.html` and the pictures of an evaluation."""

import base64
import pathlib
from collections.abc import Mapping, Sequence

import jinja2
import numpy as np

from fml_tf.evaluation.pictures import case_sheet, colour_sheet, cumulative_curve, heat_maps
from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols.base import Protocol
from fml_tf.evaluation.results import case_figures
from fml_tf.evaluation.runner import groups, read_case, score_group
from fml_tf.files.atomic import write_bytes, write_image, write_text

PICTURE_FOLDER = "pictures"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ name }}: evaluation</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{font:16px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}
img{max-width:100%}table{display:block;overflow-x:auto;border-collapse:collapse;margin:1em 0}
td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:left;min-width:4em}
li{margin:.2em 0}</style>
{% for block in blocks %}{% if block.kind == "title" %}<h{{ block.level }}>{{ block.text }}
</h{{ block.level }}>{% elif block.kind == "table" %}<table>{% for row in block.rows %}<tr>
{% for cell in row %}<{{ "th" if loop.first or block.rows[0] is sameas row else "td" }}>{{ cell }}
</{{ "th" if loop.first or block.rows[0] is sameas row else "td" }}>{% endfor %}</tr>{% endfor %}
</table>{% elif block.kind == "list" %}<ul>{% for item in block.entries %}<li>{{ item }}</li>
{% endfor %}</ul>{% else %}<p>{{ block.text }}</p>{% endif %}{% endfor %}
{% for title, data, page in pictures %}<h2>{{ title }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ data }}">
{% if page %}<p><a href="{{ page }}">in 3D</a></p>{% endif %}{% endfor %}</html>
"""


def write_pictures(
    protocol: Protocol,
    methods: Sequence[Method],
    result: dict,
    output_dir: pathlib.Path,
) -> dict[str, pathlib.Path]:
    """Draws curve, heat maps and the last method's best, median and worst case.

    Returns:
      The files by their titles, in the order of the report. Beside a picture of a case lies the
      page of its name that shows it in 3D, where our own model made it.
    """
    folder = output_dir / PICTURE_FOLDER
    folder.mkdir(exist_ok=True)
    paths = {}
    distances, means = {}, {}
    for method in methods:
        if method.name not in result["methods"]:
            continue
        rows = [
            read_case(output_dir, method, name)[1]
            for name, by_method in result["cases"].items()
            if method.name in by_method
        ]
        flat = np.concatenate([row.reshape(-1) for row in rows])
        if len(flat):
            distances[method.name] = flat
            if protocol.template_region is not None:
                rows = [row for row in rows if row.size]
                means[method.name] = _mean_of_region(protocol.template_region, rows)
    limit = 1.0
    if distances:
        limit = float(np.ceil(np.percentile(np.concatenate(list(distances.values())), 95)))
        paths["Share of points within an error"] = folder / "cumulative.png"
        write_bytes(folder / "cumulative.png", cumulative_curve(distances, limit))
    if means:
        paths["Where the error is, on the mean face"] = folder / "heat_maps.png"
        write_image(folder / "heat_maps.png", heat_maps(means, limit))

    scored = [
        (method, measure, figures)
        for method in reversed(methods)
        for measure in protocol.measures
        if (figures := case_figures(result, method.name, measure.name))
    ]
    if scored:
        method, measure, figures = scored[0]
        order = sorted(figures, key=figures.get)
        chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
        for rank, name in chosen.items():
            trials = result["cases"][name][method.name]
            trial = _nearest(trials, measure.name, figures[name])
            sheet, page = _case(protocol, method, name, trial, limit)
            if page is not None:
                write_text(folder / f"{rank}.html", page)
            if sheet is not None:
                figure = f"{figures[name]:.2f} {measure.unit}"
                title = f"{rank.capitalize()} by {measure.name}: {name}, {method.name}, {figure}"
                paths[title] = folder / f"{rank}.png"
                write_image(paths[title], sheet)
    return paths


def write_report(
    name: str, markdown: str, pictures: Mapping[str, pathlib.Path], output_dir: pathlib.Path
) -> None:
    """Writes `report.html`: the text of `results.md`, the pictures, and links to their pages."""
    encoded = []
    for title, path in pictures.items():
        page = path.with_suffix(".html")
        link = f"{PICTURE_FOLDER}/{page.name}" if page.is_file() else None
        encoded.append((title, base64.b64encode(path.read_bytes()).decode(), link))
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(_PAGE)
        .render(name=name, blocks=_blocks(markdown), pictures=encoded)
    )
    write_text(output_dir / "report.html", page)


def _mean_of_region(region, rows):
    """Mean error [V] at the template's vertices, where each row of errors is of its region."""
    errors = np.full(len(region), np.nan)
    errors[region] = np.concatenate(rows).mean(axis=0)
    return errors


def _nearest(trials, measure, value):
    """The number of the trial whose figure is nearest to the case's."""
    having = [i for i, trial in enumerate(trials) if measure in trial.get("figures", {})]
    return min(having, key=lambda i: abs(trials[i]["figures"][measure] - value))


def _case(protocol, method, name, trial, limit):
    """Picture and page of one trial of a case; scored again, which gives the same."""
    case = protocol.load(name)
    frames = groups(len(case.frames), method.num_frames)[trial]
    prediction, score = score_group(protocol, method, case, frames)
    sheet = page = None
    if score.error_map is not None:
        sheet = case_sheet([case.frames[i].image for i in frames], score.error_map, limit)
    elif prediction.draw:
        sheet = colour_sheet(prediction.draw(0))
    if prediction.view:
        names = [case.frames[i].name for i in frames]
        page = prediction.view([n for n in names if n not in prediction.left_out])
    return sheet, page


def _blocks(markdown):
    """The few forms that `markdown` writes, as blocks for the page."""
    blocks = []
    for line in markdown.splitlines():
        text = line.replace("`", "")
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            blocks.append({"kind": "title", "level": level, "text": text.lstrip("# ")})
        elif line.startswith("| "):
            row = [cell.strip() for cell in text.strip("|").split("|")]
            if set(row) == {"---"}:
                continue
            if not blocks or blocks[-1]["kind"] != "table":
                blocks.append({"kind": "table", "rows": []})
            blocks[-1]["rows"].append(row)
        elif line.startswith("- "):
            if not blocks or blocks[-1]["kind"] != "list":
                blocks.append({"kind": "list", "entries": []})
            blocks[-1]["entries"].append(text.removeprefix("- "))
        elif text:
            blocks.append({"kind": "text", "text": text})
    return blocks
