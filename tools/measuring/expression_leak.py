"""Share of the expressions' energy over the face that the Orthogonal Complement Layer lets through.

Without hidden pockets in the fit of B_G, as the model has it, and with them.

    python -m tools.measuring.expression_leak
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app

from fml_tf.models.face_models.orthogonal_complement import (
    OrthogonalComplement,
    graph_expression_basis,
)
from fml_tf.template.deformation_graph import load_or_build_graph, pockets
from fml_tf.template.expression_basis import expression_basis
from fml_tf.template.loading import load_template


def main(argv):
    """Prints the two shares."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    template = load_template("makehuman", "4k", "average")
    basis = expression_basis(template, "pca", 0.99).basis
    skinning = load_or_build_graph(template, 521).skinning_matrix().astype(np.float64)
    face = np.flatnonzero(template.regions["face"])
    seen = np.flatnonzero(~pockets(template))
    # The expressions as the graph shows them.
    shown = [
        np.linalg.lstsq(skinning[seen].toarray(), basis[:, seen, axis].T.astype(np.float64))[0]
        for axis in range(3)
    ]
    shown = np.stack(shown, axis=1).reshape(-1, len(basis))
    everywhere = np.arange(template.num_vertices)
    for name, rows in (("without", seen), ("with", everywhere)):
        layer = OrthogonalComplement(
            graph_expression_basis(basis[:, rows], skinning[rows]), dtype="float64"
        )
        left = np.asarray(layer(shown))
        energies = [
            np.square(skinning[face] @ nodes.reshape(skinning.shape[1], -1)).sum()
            for nodes in (left, shown)
        ]
        print(f"{name} the hidden pockets: {100 * energies[0] / energies[1]:.3f} %")


if __name__ == "__main__":
    app.run(main)
