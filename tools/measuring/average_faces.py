"""How far the average faces of the synthetic groups are apart, beside published figures.

    python -m tools.measuring.average_faces

Printed is the mean distance of the one face's points from the other's surface, mm, over the region
`face`, after the best rigid fit of the surfaces; the means of young and old count as one face. The
published figures are of averages of scans, compared in the same way:

- Chinese and White Texans: Wirthlin et al., Int J Oral Maxillofac Surg 42:1100, 2013, abstract;
- Dutch women and men: the largest in a comparison of Dutch, Egyptian and Texan averages, "Facial
  morphology of adult Dutch, Egyptian and Texan white population using 3D-stereophotogrammetry",
  abstract;
- women and men of Zimbabwe and African Americans: Bhaskar and Kau, Eur J Dent 14:100, 2020,
  abstract.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app

from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface
from fml_tf.template.makehuman import load_identity_assets, load_makehuman

_PUBLISHED = (
    ("caucasian-female", "asian-female", "2.73"),
    ("caucasian-male", "asian-male", "2.83"),
    ("caucasian-female", "caucasian-male", "1.39"),
    ("african-female", "african-male", "0.24 (Americans), 1.24 (Zimbabweans)"),
    ("caucasian-female", "african-female", "–"),
    ("caucasian-male", "african-male", "–"),
)


def surface_distance(first: np.ndarray, second: np.ndarray, triangles: np.ndarray) -> float:
    """Mean distance of a mesh's vertices [V, 3] from another's surface, after a rigid fit of it."""
    surface = Surface(second, triangles)
    fit = fit_surface(surface, first, with_scale=False, robust=False)
    return float(surface.closest(fit.apply_inverse(first)).distances.mean())


def main(argv):
    """Prints a row for each pair of groups."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    template, means = load_makehuman(), load_identity_assets().means
    face = template.regions["face"]
    kept = face[template.triangles].all(axis=1)
    triangles = (np.cumsum(face) - 1)[template.triangles[kept]]

    def average(group):
        shapes = [means[f"{group}-{age}"] for age in ("young", "old")]
        return np.mean(shapes, axis=0, dtype=np.float64)[face]

    print("| one | other | here, mm | published, mm |")
    print("| --- | --- | --- | --- |")
    for one, other, published in _PUBLISHED:
        distance = surface_distance(average(one), average(other), triangles)
        print(f"| {one} | {other} | {distance:.2f} | {published} |")


if __name__ == "__main__":
    app.run(main)
