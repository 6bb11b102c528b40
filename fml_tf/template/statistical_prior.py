"""Statistical face models that are given, not learned: mean and principal components of people.

MoFA and Deep3D keep such a model (a 3DMM, Blanz and Vetter 1999) as it is; the multi-level model
puts what it learns on top of one. Theirs are made of 200 scans that nobody may pass on.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.makehuman import SUBDIVISIONS, load_makehuman, refine

_ASSETS = pathlib.Path(__file__).parent / "assets"


@dataclasses.dataclass(frozen=True, eq=False)
class FacePrior:
    """Neutral shape and albedo as linear functions of coefficients that are N(0, 1).

    The vectors of a basis are orthogonal over the whole mesh, and each is as long as its standard
    deviation, largest first.

    Attributes:
      mean_shape: [V, 3] float32 mm, model space.
      shape_basis: [k, V, 3] float32 mm.
      mean_albedo: [V, 3] float32 sRGB.
      albedo_basis: [k, V, 3] float32 sRGB.
    """

    mean_shape: np.ndarray
    shape_basis: np.ndarray
    mean_albedo: np.ndarray
    albedo_basis: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its fields by name."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FacePrior":
        """What `to_arrays` gave."""
        return cls(**arrays)


def asset_path(name: str) -> pathlib.Path:
    """The file of a prior that ships, by the name that `--prior` takes."""
    return _ASSETS / f"{name}_prior.npz"


def load_prior(name: str, template: FaceTemplate, size: int) -> FacePrior:
    """A prior of synthetic people, on the open template at any resolution.

    `tools/assets/build_statistical_priors.py` makes them. "synthetic" is what scan data bases are:
    200 people of one population with clean skin. "synthetic_all" is 2,000 people of all populations
    as they come, and so no fair prior for tests on synthetic people: it is their own distribution.

    Args:
      name: of the prior.
      template: the open one.
      size: k, the vectors of each basis.

    Raises:
      ValueError: another template, or more vectors than the prior has.
    """
    levels = {load_makehuman(level).num_vertices: level for level in SUBDIVISIONS}
    if template.num_vertices not in levels or not template.name.startswith("makehuman"):
        raise ValueError(
            f"--prior={name}: is of the open template, not of {template.name}; bring a Basel Face "
            "Model with --template and take --prior=file"
        )
    with np.load(asset_path(name)) as asset:
        arrays = dict(asset)
    most = min(len(arrays["shape_basis"]), len(arrays["albedo_basis"]))
    if size > most:
        raise ValueError(f"--prior_size={size}: the prior {name!r} has {most} vectors")
    level = levels[template.num_vertices]
    cut = {
        key: values[:size] if key.endswith("basis") else values for key, values in arrays.items()
    }
    return FacePrior(**{key: refine(values, level) for key, values in cut.items()})
