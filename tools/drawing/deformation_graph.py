"""Draws the deformation graph over the template with its mouth slightly open.

    python -m tools.drawing.deformation_graph --output=graph.png [--resolution=16k --num_nodes=521]

The whole head and close-ups of the mouth and the eyes. An edge joins two nodes that share a vertex;
none crosses the gap between two lips or two lids.
"""

import io
import pathlib

import matplotlib.pyplot as plt
import numpy as np
from absl import app, flags
from matplotlib.collections import PolyCollection
from PIL import Image

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_bytes
from fml_tf.template.deformation_graph import DeformationGraph, build_deformation_graph
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.loading import load_template

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "PNG file to write.", required=True)
flags.DEFINE_string("template", "makehuman", "Template: makehuman, or a model file of yours.")
flags.DEFINE_string("resolution", "16k", "Resolution of the makehuman template.")
flags.DEFINE_string("mean", "average", "Mean shape of the makehuman template.")
flags.DEFINE_integer("num_nodes", 521, "Nodes of the graph.")

_LIFT = 3.0  # mm towards the viewer, so that chords of a round surface stay above it


def main(argv: list[str]) -> None:
    """Draws the picture that the flags ask for."""
    del argv
    template = load_template(FLAGS.template, FLAGS.resolution, FLAGS.mean)
    graph = build_deformation_graph(template, FLAGS.num_nodes)
    figure = draw(template, graph)
    figure.canvas.draw()
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    pixels.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    with one_line_errors("deformation_graph"):
        pathlib.Path(FLAGS.output).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(FLAGS.output, buffer.getvalue())


def draw(template: FaceTemplate, graph: DeformationGraph) -> plt.Figure:
    """Returns a figure of the whole face, the mouth and both eyes, seen from the front."""
    vertices = template.mean_shape + template.mouth_opening
    landmarks = vertices[template.landmark_vertices]
    figure = plt.figure(figsize=(12, 8), dpi=80, layout="constrained")
    whole, right_eye, left_eye, mouth = figure.subplot_mosaic("AABC;AADD").values()
    _panel(whole, template, graph, vertices, vertices, margin=2, node_radius=0.7)
    _panel(mouth, template, graph, vertices, landmarks[48:66], margin=8, node_radius=0.4)
    _panel(right_eye, template, graph, vertices, landmarks[36:42], margin=7, node_radius=0.25)
    _panel(left_eye, template, graph, vertices, landmarks[42:48], margin=7, node_radius=0.25)
    return figure


def _panel(axes, template, graph, vertices, around, margin, node_radius):
    triangles = vertices[template.triangles]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    skin = np.array([0.95, 0.9, 0.85]) * (0.3 + 0.7 * np.abs(normals[:, 2:]))

    nodes = vertices[graph.node_vertices]
    lines = _ribbons(nodes[graph.edges], width=node_radius / 6)
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = node_radius * np.stack([np.cos(angles), np.sin(angles), np.zeros(8)], axis=1)
    dots = nodes[:, None] + circle + [0, 0, _LIFT + 0.5]

    # The painter's algorithm: surface, edges and nodes in one list, back to front.
    low, high = around[:, :2].min(axis=0) - margin, around[:, :2].max(axis=0) + margin
    polygons, colours, depths = [], [], []
    for shapes, colour in [(triangles, skin), (lines, (0.1, 0.25, 0.6)), (dots, (0.8, 0.1, 0.1))]:
        centres = shapes.mean(axis=1)
        seen = ((centres[:, :2] > low - 10) & (centres[:, :2] < high + 10)).all(axis=1)
        polygons += list(shapes[seen, :, :2])
        colours.append(np.broadcast_to(colour, (len(shapes), 3))[seen])
        depths.append(centres[seen, 2])
    order = np.argsort(np.concatenate(depths))
    colours = np.concatenate(colours)[order]
    axes.add_collection(
        PolyCollection([polygons[i] for i in order], facecolors=colours, edgecolors="none")
    )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_axis_off()


def _ribbons(ends, width, pieces=6):
    """Cuts lines [E, 2, 3] into short flat quads [E·pieces, 4, 3] that face the viewer."""
    along = np.linspace(0, 1, pieces + 1)[:, None]
    points = ends[:, None, 0] * (1 - along) + ends[:, None, 1] * along
    direction = ends[:, 1] - ends[:, 0]
    side = np.stack([-direction[:, 1], direction[:, 0], 0 * direction[:, 0]], axis=1)
    side *= width / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-9)
    left, right = points + side[:, None], points - side[:, None]
    quads = np.stack([left[:, :-1], left[:, 1:], right[:, 1:], right[:, :-1]], axis=2)
    return quads.reshape(-1, 4, 3) + np.array([0, 0, _LIFT])


if __name__ == "__main__":
    app.run(main)
