"""Eyes, teeth and tongue for a face of which only the skin was found; of the open template."""

import dataclasses

import numpy as np

from fml_tf.geometry.alignment import procrustes
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.makehuman import Accessory, load_identity_assets

# Finer than the skin of "4k", so that an iris has an edge.
_RESOLUTIONS = {"eye": "60k", "teeth": "4k", "tongue": "4k"}
# sRGB. Nothing of these is reconstructed: they are everybody's.
_SCLERA, _IRIS = np.array([0.86, 0.82, 0.80]), np.array([0.36, 0.26, 0.18])
_COLOURS = {"teeth": (0.84, 0.80, 0.72), "tongue": (0.66, 0.36, 0.34)}
# Sines of the angle from the eye's axis: irises are 11.7 mm wide [Rüfer et al. 2005].
_IRIS_RADIUS, _PUPIL_RADIUS, _EDGE = 0.5, 0.16, 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class InnerParts:
    """P vertices behind a face's lids and lips.

    Attributes:
      vertices: [P, 3] mm, model space, neutral.
      triangles: [F, 3] int32.
      albedo: [P, 3] sRGB.
      blendshapes: [K, P, 3] mm, displacements at activation 1 by the template's blendshapes.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    albedo: np.ndarray
    blendshapes: np.ndarray


def inner_parts(neutral: np.ndarray, template: FaceTemplate) -> InnerParts | None:
    """What belongs behind lids and lips: moved as these have moved from the mean face.

    Args:
      neutral: [V, 3] mm, model space: a person's face.
      template: of its topology.

    Returns:
      The parts; None of templates other than the open one, which have none.
    """
    if not template.name.startswith("makehuman-"):
        return None
    mean = template.name.split("-", 1)[1].rsplit("-", 1)[0]
    parts, count = [], 0
    for name in ("eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"):
        kind = name.split("_")[0]
        accessories = load_identity_assets(_RESOLUTIONS[kind]).accessories
        part = next(part for part in accessories if part.name == name)
        shape = part.mean_shape if mean == "average" else part.means[mean]
        near = template.regions["eyelids" if kind == "eye" else "lips"]
        if kind == "eye":
            near = near & (template.mean_shape[:, 0] * shape[:, 0].mean() > 0)
        move = procrustes(template.mean_shape[near], neutral[near])
        parts.append(
            InnerParts(
                vertices=move.apply(shape),
                triangles=part.triangles + count,
                albedo=_albedo(kind, part),
                blendshapes=move.scale * part.blendshapes @ move.rotation.T,
            )
        )
        count += len(shape)
    return InnerParts(
        **{
            field.name: np.concatenate(
                [getattr(part, field.name) for part in parts],
                axis=1 if field.name == "blendshapes" else 0,
                dtype=np.int32 if field.name == "triangles" else np.float32,
                casting="same_kind",
            )
            for field in dataclasses.fields(InnerParts)
        }
    )


def _albedo(kind: str, part: Accessory) -> np.ndarray:
    """[P, 3] sRGB of a part at its mean shape."""
    if kind != "eye":
        return np.tile(_COLOURS[kind], (len(part.mean_shape), 1))
    offset = part.mean_shape - part.mean_shape.mean(axis=0)
    sine = np.linalg.norm(offset[:, :2], axis=1) / np.linalg.norm(offset, axis=1)
    sine = np.where(offset[:, 2] > 0, sine, 1.0)[:, None]
    iris = np.clip((_IRIS_RADIUS - sine) / _EDGE + 0.5, 0, 1)
    pupil = np.clip((_PUPIL_RADIUS - sine) / _EDGE + 0.5, 0, 1)
    return (_SCLERA + iris * (_IRIS - _SCLERA)) * (1 - 0.93 * pupil)
