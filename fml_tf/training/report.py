"""`report.html`: what a training run reached, with curves and pictures, in one file."""

import base64
import io
import json
import os
from collections.abc import Sequence

import cv2
import jinja2
import matplotlib.figure
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorboard.backend.event_processing import event_accumulator

from fml_tf.data.batches import evaluation_examples
from fml_tf.files.atomic import write_text
from fml_tf.files.images import to_bytes
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import MultiFrameBatch
from fml_tf.training.summaries import picture_sheet
from fml_tf.training.trainer import EVENT_FOLDER, Trainer
from fml_tf.viewer.glb import face_glb
from fml_tf.viewer.page import viewer_page

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>FML training report</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{font:16px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}
img{max-width:100%}table{display:block;overflow-x:auto;border-collapse:collapse}
td,th{padding:.2em 1em;border-bottom:1px solid #ccc;text-align:left}
pre{background:#f4f4f4;padding:1em;overflow:auto}</style>
<h1>FML training report</h1>
<p>Measured on {{ metrics.num_examples }} multi-frame images of the split
<b>{{ metrics.split }}</b>{% if metrics.split != "train" %}, whose people
training has not seen{% endif %}.</p>
<table>
{% for name, value in rows %}<tr><td>{{ name }}</td>
<td>{{ value if value is integer else "%.3f"|format(value) }}</td></tr>
{% endfor %}</table>
<h2>Loss</h2><img src="data:image/png;base64,{{ curves }}" alt="loss curves">
<h2>Best and worst</h2>
<p>In 3D: {% for rank, page, error in viewers %}<a href="{{ page }}">{{ rank }}</a>
({{ "%.2f"|format(error) }} {{ unit }}){% if not loop.last %}, {% endif %}{% endfor %}.</p>
<h2>Reconstructions</h2>
<p>Each block is one person, one column a frame; rows: input, overlay, albedo, shading, geometry.
All frames share one identity.</p>
{% for sheet in sheets %}<p><img src="data:image/jpeg;base64,{{ sheet }}" alt="person"></p>
{% endfor %}
<h2>Configuration</h2><pre>{{ config }}</pre></html>
"""


def _encode_jpeg(image: np.ndarray) -> str:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return base64.b64encode(data).decode()


def _curves(event_dir: str) -> str:
    """The loss terms and errors over the steps, as a PNG in base64."""
    events = event_accumulator.EventAccumulator(event_dir, size_guidance={"tensors": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith(("loss/", "error/"))]
    figure = matplotlib.figure.Figure(figsize=(11, 4))
    losses, errors = figure.subplots(1, 2)
    for tag in sorted(tags):
        points = [(e.step, tf.make_ndarray(e.tensor_proto).item()) for e in events.Tensors(tag)]
        axes = losses if tag.startswith("loss/") else errors
        axes.plot(*zip(*points), label=tag.split("/")[1], linewidth=0.8)
    losses.set(yscale="log", xlabel="step", title="weighted terms of the loss")
    errors.set(xlabel="step", title="landmarks (px), photometric (RGB in [0, 255])")
    for axes in (losses, errors):
        if tags:  # a run shorter than --log_every has none
            axes.legend()
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode()


def _flatten(values: dict, prefix: str = ""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name} ")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def write_report(
    output_dir: str,
    trainer: Trainer,
    builder: tfds.core.DatasetBuilder,
    metrics: dict,
    errors: Sequence[float],
    num_people: int = 6,
) -> None:
    """Writes `report.html` beside the events of a finished run, and the pages that it links to.

    Args:
      output_dir: of the run.
      trainer: with the trained model.
      builder: the data set.
      metrics: of the split that they name.
      errors: of the examples of that split, see `Validator`.
      num_people: how many are shown, the first.
    """
    examples = evaluation_examples(builder, metrics["split"], trainer.config.num_frames)
    ranks = {int(np.argmin(errors)): "best", int(np.argmax(errors)): "worst"}
    sheets, viewers = [], []
    for number, (batch, _) in enumerate(examples):
        if number < num_people:
            sheets.append(_encode_jpeg(picture_sheet(trainer.model, batch)))
        if number in ranks:
            page = f"{ranks[number]}.html"
            write_text(os.path.join(output_dir, page), _viewer(trainer.model, batch))
            viewers.append((ranks[number], page, errors[number]))
        if number >= max(num_people, *ranks):
            break
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            metrics=metrics,
            rows=list(_flatten(metrics)),
            curves=_curves(os.path.join(output_dir, EVENT_FOLDER)),
            sheets=sheets,
            viewers=sorted(viewers),
            unit="px" if trainer.model.training_mean is None else "mm",
            config=json.dumps(trainer.describe(), indent=2),
        )
    )
    write_text(os.path.join(output_dir, "report.html"), page)


def _viewer(model: FaceReconstructor, batch: MultiFrameBatch) -> str:
    """The page of the person of a batch."""
    parameters = model.encode(batch.frames, batch.frame_mask)
    seen = np.flatnonzero(batch.frame_mask[0])
    parameters = parameters.map_frames(lambda values: tf.gather(values, seen, axis=1))
    crops = to_bytes(batch.frames[0].numpy()[seen])
    glb = face_glb(model.face_model.identity(parameters.identity), model.template)
    return viewer_page(model, parameters, [f"frame {m}" for m in seen], crops, glb)
