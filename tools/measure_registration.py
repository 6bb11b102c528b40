r"""Measures how far our registration of scans is from correspondence that is known.

    python -m tools.make_bu3dfe_layout --output_dir=bu3dfe --correspondence
    python -m tools.measure_registration --data_dir=bu3dfe

For each scan in the layout of BU-3DFE that has a file of correspondence, a line of a table: number
of the face's vertices that both place, the distances of the two places, and the mean of their part
across the scan's surface.
"""

import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_tf.evaluation.bu3dfe_landmarks import read_indexed_points
from fml_tf.evaluation.measures import rms
from fml_tf.evaluation.protocols.bu3dfe import (
    CORRESPONDENCE_FOLDER,
    read_correspondence,
    registered_correspondence,
)
from fml_tf.evaluation.protocols.layouts import one_file, require_folder
from fml_tf.mesh.surface import Surface
from fml_tf.mesh.vrml import read_vrml


def main(_, options: flags.FlagValues = flags.FLAGS) -> None:
    """Prints the table."""
    root = pathlib.Path(options.data_dir)
    folder = require_folder(root / CORRESPONDENCE_FOLDER, "files of correspondence")
    rows = []
    for path in tqdm(sorted(folder.glob("*.txt")), "scans"):
        scan = one_file(root / path.stem.split("_")[0], f"{path.stem}??_F3D.wrl", "the scan")
        mesh = read_vrml(scan)
        found = registered_correspondence(mesh, read_indexed_points(scan.with_suffix(".bnd"))[1])
        offsets = found - read_correspondence(path)
        both = np.isfinite(offsets).all(axis=1)
        _, normals = Surface(mesh.vertices, mesh.triangles).closest_with_normals(found[both])
        across = np.abs(np.einsum("pc,pc->p", offsets[both], normals))
        rows.append((path.stem, np.linalg.norm(offsets[both], axis=1), across))
    rows.append(("all", *(np.concatenate([row[k] for row in rows]) for k in (1, 2))))
    print("| scan | vertices | median, mm | mean | RMS | 95 % | across |\n" + "| --- " * 7 + "|")
    for name, away, across in rows:
        middle, end = np.percentile(away, [50, 95])
        figures = (middle, away.mean(), rms(away), end, across.mean())
        print(f"| {name} | {len(away)} | " + " | ".join(f"{v:.2f}" for v in figures) + " |")


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Root of the layout.", required=True)
    app.run(main)
