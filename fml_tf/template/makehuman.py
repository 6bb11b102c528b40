"""The open face template: the head of MakeHuman (CC0), shipped in `assets/`.

`tools/assets/build_face_template.py` made the asset and documents where its data comes from. It
holds the coarse level; the finer ones are Catmull-Clark subdivisions of it, so that landmarks,
masks, means and displacements of all levels correspond and coarse vertex i is vertex i of every
level. The origin is 60 mm behind the outer eye corners of the coarse level, for every mean.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from fml_tf.geometry.subdivision import catmull_clark, triangulate
from fml_tf.template.face_template import FaceTemplate

ASSET = pathlib.Path(__file__).parent / "assets" / "makehuman_face.npz"
SUBDIVISIONS = {"4k": 0, "16k": 1, "60k": 2}

# Standard deviations of the ARKit activations about 0. No capture data with this licence exists, so
# these are ours: an activation is in [0, 1] and mostly small (a half-normal variable), widest for
# what faces do most, narrow for what is rare and large.
DEFAULT_SIGMA = 0.3
SIGMA = {
    "eyeBlink": 0.4,
    "mouthSmile": 0.4,
    "browInnerUp": 0.35,
    "jawForward": 0.2,
    "jawLeft": 0.2,
    "jawRight": 0.2,
    "mouthLeft": 0.2,
    "mouthRight": 0.2,
    "cheekPuff": 0.2,
    "mouthFunnel": 0.25,
    "mouthPucker": 0.25,
    "mouthClose": 0.1,  # closes the lips of an open jaw; on a closed one they pass through
}
MOUTH_OPENING = ("jawOpen", 0.3)


@dataclasses.dataclass(frozen=True, eq=False)
class Accessory:
    """Eyes, teeth, tongue: meshes beside the face that move along with it.

    Attributes:
      name: "eye_left", "eye_right", "teeth_upper", "teeth_lower" or "tongue".
      mean_shape: [A, 3] float32 mm, at the average mean.
      triangles: [F, 3] int32.
      means: mean name -> [A, 3] float32 mm.
      blendshapes: [52, A, 3] float32 mm.
      target_displacements: [T, A, 3] float32 mm.
    """

    name: str
    mean_shape: np.ndarray
    triangles: np.ndarray
    means: Mapping[str, np.ndarray]
    blendshapes: np.ndarray
    target_displacements: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class IdentityAssets:
    """What makes synthetic people: whole means and local changes, over the template's vertices.

    Attributes:
      means: mean name ("asian-female-young") -> [V, 3] float32 mm; without "average".
      target_names: T names, such as "nose-hump-incr"; the targets of a left and a right part are
        one symmetric target, one-sided changes are in the group "asym".
      target_groups: T names: head, forehead, eyebrows, eyes, ears, nose, mouth, cheek, chin, neck,
        asym.
      target_opposites: [T] int32, index of the target in the opposite direction, -1 for none.
      target_displacements: [T, V, 3] float32 mm at weight 1, about the far end of what is human.
      accessories: eyes, teeth and tongue.
      feature_points: [66, 3] float32 mm, where the features lie on the average mean that landmarks
        are named by: as marked by hand, where `FaceTemplate.landmark_vertices` are where detectors
        mark them.
    """

    means: Mapping[str, np.ndarray]
    target_names: tuple[str, ...]
    target_groups: tuple[str, ...]
    target_opposites: np.ndarray
    target_displacements: np.ndarray
    accessories: tuple[Accessory, ...]
    feature_points: np.ndarray


@functools.cache
def _asset() -> Mapping[str, np.ndarray]:
    with np.load(ASSET) as archive:
        return dict(archive)


def mean_names() -> tuple[str, ...]:
    """Names of the means that `load_makehuman` knows."""
    return ("average", *_asset()["mean_names"].tolist())


class _Level:
    """One mesh (the head or an accessory) at one level of subdivision."""

    def __init__(self, quads: np.ndarray, rows: slice, subdivisions: int):
        self.rows = rows
        self.steps = []
        count = rows.stop - rows.start
        for _ in range(subdivisions):
            step, quads = catmull_clark(quads, count)
            self.steps.append(step.astype(np.float32))
            count = step.shape[0]
        self.triangles = triangulate(quads)

    def refine(self, values: np.ndarray) -> np.ndarray:
        """[..., V, C] of the coarse mesh to [..., V', C] float32 of this level."""
        values = np.moveaxis(values.astype(np.float32), -2, 0)
        flat = values.reshape(len(values), -1)
        for step in self.steps:
            flat = step @ flat
        flat = flat.reshape(-1, *values.shape[1:])
        return np.ascontiguousarray(np.moveaxis(flat, 0, -2))

    def displacements(self, name: str) -> np.ndarray:
        """[..., V', 3] float32 mm, a quantised array of the asset."""
        return self.refine(_asset()[name][..., self.rows, :] * _asset()["displacement_unit"])

    def mean(self, name: str) -> np.ndarray:
        """[V', 3] float32 mm."""
        shape = _asset()["average"][self.rows]
        if name != "average":
            displacement = _asset()["mean_displacements"][mean_names().index(name) - 1, self.rows]
            shape = shape + displacement * _asset()["displacement_unit"]
        return self.refine(shape)


@functools.cache
def _head(resolution: str) -> _Level:
    if resolution not in SUBDIVISIONS:
        raise ValueError(f"resolution {resolution!r} is unknown; one of {', '.join(SUBDIVISIONS)}")
    asset = _asset()
    rows = slice(0, asset["region_masks"].shape[1])
    return _Level(asset["quads"].astype(np.int64), rows, SUBDIVISIONS[resolution])


def refine(values: np.ndarray, resolution: str) -> np.ndarray:
    """Values [..., V, C] of the coarse level's vertices → float32 of those of a resolution."""
    return _head(resolution).refine(values)


def load_makehuman(resolution: str = "4k", mean: str = "average") -> FaceTemplate:
    """The open template; cached in the process, so treat its arrays as constants.

    Args:
      resolution: "4k", "16k" or "60k" vertices (4,069, 16,225 and 64,801).
      mean: "average" or ethnicity-gender-age, such as "asian-female-young" (`mean_names`).

    Raises:
      ValueError: unknown resolution or mean.
    """
    return _load_makehuman(resolution, mean)  # one cache entry however the arguments are passed


@functools.cache
def _load_makehuman(resolution: str, mean: str) -> FaceTemplate:
    head, asset = _head(resolution), _asset()
    if mean not in mean_names():
        raise ValueError(f"mean {mean!r} is unknown; one of {', '.join(mean_names())}")
    names = tuple(asset["unit_names"].tolist())
    blendshapes = head.displacements("unit_displacements")
    sigma = [SIGMA.get(n.removesuffix("Left").removesuffix("Right"), DEFAULT_SIGMA) for n in names]
    # Rounded, so that a vertex midway falls to the same side on both halves of the face.
    masks = np.round(head.refine(asset["region_masks"][..., None] / 255.0)[..., 0], 4) > 0.5
    regions = dict(zip(asset["region_names"].tolist(), masks))
    regions["skin"] = regions["face"] & ~(regions["lips"] | regions["brows"] | regions["eyelids"])
    opening, amount = MOUTH_OPENING
    return FaceTemplate(
        name=f"makehuman-{mean}-{resolution}",
        mean_shape=head.mean(mean),
        triangles=head.triangles,
        uv=head.refine(asset["uv"]),
        blendshapes=blendshapes,
        blendshape_names=names,
        blendshape_sigma=np.array(sigma, np.float32),
        landmark_vertices=asset["landmark_vertices"].astype(np.int32),
        contour_candidates=asset["contour_candidates"].astype(np.int32),
        regions=regions,
        mouth_opening=np.float32(amount) * blendshapes[names.index(opening)],
    )


def load_identity_assets(resolution: str = "4k") -> IdentityAssets:
    """Means, identity targets and accessories for synthetic data; cached like `load_makehuman`.

    Raises:
      ValueError: unknown resolution.
    """
    return _load_identity_assets(resolution)


@functools.cache
def _load_identity_assets(resolution: str) -> IdentityAssets:
    head, asset = _head(resolution), _asset()
    names = mean_names()[1:]
    accessories = []
    quads = asset["accessory_quads"].astype(np.int64)
    ends = np.cumsum(asset["accessory_quad_counts"].astype(int))
    for name, part in zip(asset["accessory_names"].tolist(), np.split(quads, ends[:-1])):
        rows = slice(part.min(), part.max() + 1)
        level = _Level(part - rows.start, rows, SUBDIVISIONS[resolution])
        accessories.append(
            Accessory(
                name=name,
                mean_shape=level.mean("average"),
                triangles=level.triangles,
                means={n: level.mean(n) for n in names},
                blendshapes=level.displacements("unit_displacements"),
                target_displacements=level.displacements("target_displacements"),
            )
        )
    return IdentityAssets(
        means={name: head.mean(name) for name in names},
        target_names=tuple(asset["target_names"].tolist()),
        target_groups=tuple(asset["target_groups"].tolist()),
        target_opposites=asset["target_opposites"].astype(np.int32),
        target_displacements=head.displacements("target_displacements"),
        accessories=tuple(accessories),
        feature_points=asset["feature_points"],
    )
