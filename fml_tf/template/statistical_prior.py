"""Statistical face models that are given, not learned: mean and principal components of people.

MoFA and Deep3D keep such a model (a 3DMM, Blanz and Vetter 1999) as it is; the multi-level model
puts what it learns on top of one. Theirs are made of 200 scans that nobody may pass on.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.loading import load_foreign_model
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


def load_prior(name: str, template: FaceTemplate, size: int, path: str = "makehuman") -> FacePrior:
    """A statistical model for a template.

    "synthetic" and "synthetic_all" are of generated people, on the open template at any resolution
    (`tools/assets/build_statistical_priors.py`). "synthetic" is what scan data bases are: 200
    people of one population with clean skin. "synthetic_all" is 2,000 people of all populations as
    they come, and so no fair prior for tests on synthetic people: it is their own distribution.
    "file" is that of the file that the template comes from.

    Args:
      name: of the prior.
      template: whose vertices it is to have.
      size: k, the most vectors of each basis.
      path: what the template was loaded from.

    Raises:
      ValueError: a prior of another template, or more vectors than it has.
    """
    prior = _of_file(template, path) if name == "file" else _synthetic(name, template)
    most = len(prior.shape_basis)
    if size > most:
        raise ValueError(f"--prior_size={size}: the prior {name!r} has {most} vectors")
    return dataclasses.replace(
        prior, shape_basis=prior.shape_basis[:size], albedo_basis=prior.albedo_basis[:size]
    )


def _synthetic(name: str, template: FaceTemplate) -> FacePrior:
    levels = {load_makehuman(level).num_vertices: level for level in SUBDIVISIONS}
    if template.num_vertices not in levels or not template.name.startswith("makehuman"):
        raise ValueError(
            f"--prior={name}: is of the open template, not of {template.name}; take --prior=file"
        )
    level = levels[template.num_vertices]
    with np.load(asset_path(name)) as asset:
        return FacePrior(**{key: refine(values, level) for key, values in asset.items()})


def _of_file(template: FaceTemplate, path: str) -> FacePrior:
    if path == "makehuman":
        raise ValueError(
            "--prior=file: the open template has none; give a Basel Face Model, FLAME or ICT with "
            "--template"
        )
    model = load_foreign_model(path)
    kept = model.kept()
    if model.albedo_basis is None:
        mean_albedo, albedo_basis = _even_tones(template.num_vertices)
    else:
        mean_albedo, albedo_basis = model.mean_albedo[kept], model.albedo_basis[:, kept]
    arrays = template.mean_shape, model.shape_basis[:, kept], mean_albedo, albedo_basis
    return FacePrior(*(np.asarray(array, np.float32) for array in arrays))


def _even_tones(num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Albedo for a mesh without one: the tones of generated people's faces, the same all over."""
    open_template = load_makehuman("4k")
    prior = _synthetic("synthetic_all", open_template)
    face = open_template.regions["face"]
    tones = prior.albedo_basis[:, face].mean(axis=1)  # [k, 3], of coefficients N(0, 1)
    _, deviations, directions = np.linalg.svd(tones, full_matrices=False)
    basis = deviations[:, None] * directions
    mean = prior.mean_albedo[face].mean(axis=0)
    return np.tile(mean, (num_vertices, 1)), np.repeat(basis[:, None], num_vertices, axis=1)
