r"""Measures how far our registration of scans is from correspondence that is known.

    python -m tools.make_bu3dfe_layout --output_dir=bu3dfe --correspondence
    python -m tools.measure_registration --data_dir=bu3dfe

For each scan in the layout of BU-3DFE that has a file of correspondence, a line of a table:
vertices of the face that both place, and the distances of the two places.
"""

import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_tf.evaluation.protocols.bu3dfe import (
    CORRESPONDENCE_FOLDER,
    read_correspondence,
    read_indexed_points,
    registered_correspondence,
)
from fml_tf.evaluation.protocols.layouts import one_file, require_folder
from fml_tf.mesh.vrml import read_vrml


def main(_, options: flags.FlagValues = flags.FLAGS) -> None:
    """Prints the table."""
    root = pathlib.Path(options.data_dir)
    folder = require_folder(root / CORRESPONDENCE_FOLDER, "files of correspondence")
    rows, everything = [], []
    for path in tqdm(sorted(folder.glob("*.txt")), "scans"):
        scan = one_file(root / path.stem.split("_")[0], f"{path.stem}??_F3D.wrl", "the scan")
        landmarks = read_indexed_points(scan.with_suffix(".bnd"))[1]
        found = registered_correspondence(read_vrml(scan), landmarks)
        away = np.linalg.norm(found - read_correspondence(path), axis=1)
        everything.append(away[np.isfinite(away)])
        rows.append((path.stem, everything[-1]))
    rows.append(("all", np.concatenate(everything)))
    print("| scan | vertices | median, mm | mean | RMS | 95 % |\n" + "| --- " * 6 + "|")
    for name, away in rows:
        figures = (np.median(away), away.mean(), np.sqrt(np.mean(away**2)), np.percentile(away, 95))
        print(f"| {name} | {len(away)} | " + " | ".join(f"{v:.2f}" for v in figures) + " |")


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Root of the layout.", required=True)
    app.run(main)
