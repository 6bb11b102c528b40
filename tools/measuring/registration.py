r"""Measures how far our registration of scans is from correspondence that is known.

    python -m tools.layouts.bu3dfe --output_dir=bu3dfe --correspondence
    python -m tools.measuring.registration --data_dir=bu3dfe

For the scans in the layout of BU-3DFE, with files of correspondence, two tables.

The first has, for each scan, the number of the face's vertices that both place, the distances of
the two places, and the mean of their part across the scan's surface.

The second asks which face our measures like best. It scores, as `evaluate.py` would, the faces
mean + a (truth - mean) between our mean face and the true one: the mean of each measure over the
scans, and on how many of them a face with a < 1 has a lower error than the truth.
"""

import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_tf.evaluation.measures import per_vertex, rms
from fml_tf.evaluation.predictions import Prediction, Shape
from fml_tf.evaluation.protocols.bu3dfe import CORRESPONDENCE_FOLDER, Bu3dfe
from fml_tf.evaluation.protocols.layouts import require_folder
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.surface import Surface
from fml_tf.template.makehuman import load_makehuman

_AMOUNTS = (0.0, 0.5, 0.75, 1.0)


def mixed_faces(truth: np.ndarray) -> list[Shape]:
    """The faces mean + a (truth - mean), for each a of `_AMOUNTS`.

    Args:
      truth: [V, 3] places of the "4k" template's vertices; where NaN, the mean stays.
    """
    template = load_makehuman("4k")
    known = np.isfinite(truth).all(axis=1)
    mean = procrustes(template.mean_shape[known], truth[known]).apply(template.mean_shape)
    away = np.where(known[:, None], truth - mean, 0.0)
    faces = [mean + amount * away for amount in _AMOUNTS]
    return [Shape(face, template.triangles, face[template.landmark_vertices]) for face in faces]


def print_table(first: str, columns: list[str], rows: dict[str, list[str]]) -> None:
    """Prints a table in Markdown; rows by their names."""
    print(f"| {first} | " + " | ".join(columns) + " |\n" + "| --- " * (1 + len(columns)) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def main(_, options: flags.FlagValues = flags.FLAGS) -> None:
    """Prints the tables."""
    require_folder(pathlib.Path(options.data_dir, CORRESPONDENCE_FOLDER), "known correspondence")
    protocol = Bu3dfe(options.data_dir)
    distances, errors = {}, {}
    for name in tqdm(protocol.cases(), "scans"):
        case, registered = protocol.load(name), protocol.register(name)
        truth, placed = case.truth, np.isfinite(registered).all(axis=1)
        offsets = registered - truth.points
        both = np.isfinite(offsets).all(axis=1)
        surface = Surface(truth.vertices, truth.triangles)
        _, normals = surface.closest_with_normals(registered[both])
        across = np.abs(np.einsum("pc,pc->p", offsets[both], normals))
        distances[name] = np.linalg.norm(offsets[both], axis=1), across

        for face in mixed_faces(truth.points):
            figures = protocol.score(case, [0], Prediction(face)).figures
            errors_of_face = {
                "`surface`": figures["surface"],
                "`per_vertex`, known places": figures["per_vertex"],
                "`per_vertex`, registered places": rms(
                    per_vertex(face.vertices[placed], registered[placed])
                ),
            }
            for measure, error in errors_of_face.items():
                errors.setdefault(measure, {}).setdefault(name, []).append(error)

    distances["all"] = [np.concatenate(parts) for parts in zip(*distances.values())]
    rows = {}
    for name, (away, across) in distances.items():
        middle, end = np.percentile(away, [50, 95])
        figures = (middle, away.mean(), rms(away), end, across.mean())
        rows[name] = [str(len(away)), *(f"{figure:.2f}" for figure in figures)]
    print_table("scan", ["vertices", "median, mm", "mean", "RMS", "95 %", "across"], rows)
    print()
    rows = {}
    for measure, by_scan in errors.items():
        table = np.array(list(by_scan.values()))  # [scans, amounts]
        better = (table[:, :-1].min(axis=1) < table[:, -1]).sum()
        rows[measure] = [f"{figure:.2f}" for figure in table.mean(axis=0)]
        rows[measure].append(f"{better} of {len(table)}")
    columns = [f"a = {amount:g}" for amount in _AMOUNTS]
    print_table("measure, mm", [*columns, "a < 1 is better"], rows)


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Root of the layout.", required=True)
    app.run(main)
