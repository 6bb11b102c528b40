"""The truth of synthetic people, as a crop shows them: derived after all augmentation.

`synthetic_faces` gives pose and light in the camera of the source picture, and where each crop was
cut. A mirror changes the source picture, a shift or a change of size the cut alone; what the crop's
own camera sees follows from both (`docs/conventions.md`).
"""

import functools
from collections.abc import Collection

import numpy as np
import tensorflow as tf
from scipy.spatial import KDTree

from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.rendering.pose import rotation_matrix, rotation_vector
from fml_tf.synthesis.generator import CROP_SIZE, SOURCE_SIZE
from fml_tf.template.makehuman import load_makehuman

PERSON_TRUTH = ("neutral_shape", "albedo", "focal_length")
FRAME_TRUTH = (
    "source_rotation",
    "source_translation",
    "blendshape_activations",
    "source_illumination",
    "crop_transform",
)
TRUTH_FEATURES = PERSON_TRUTH + FRAME_TRUTH
"""What `ground_truth` is made of, as `synthetic_faces` names it."""


def has_truth(names: Collection[str]) -> bool:
    """Whether features of these names are enough for `ground_truth`."""
    return set(TRUTH_FEATURES) <= set(names)


FRAME_FIELDS = ("blendshape_activations", "rotation", "positions", "illumination")
"""Fields of `GroundTruth` that each frame has its own of."""

# Spherical harmonics that are odd in x, in the order of docs/conventions.md.
_ODD_IN_X = np.array([3, 4, 7])
# Directions at which a light in one camera is read to find it in another: nine would do.
_NUM_DIRECTIONS = 40


def ground_truth(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The fields of `GroundTruth`, without B, from the features `TRUTH_FEATURES` of an example."""
    displacements = tf.einsum(
        "mk,kvc->mvc", example["blendshape_activations"], load_makehuman("4k").blendshapes
    )
    rotation = rotation_matrix(example["source_rotation"])
    posed = tf.einsum("mij,mvj->mvi", rotation, example["neutral_shape"] + displacements)
    posed += example["source_translation"][:, None]
    scale = example["focal_length"] / -posed[..., 2:]
    source = SOURCE_SIZE / 2.0 + scale * posed[..., :2] * (1.0, -1.0)
    crop = example["crop_transform"]
    positions = tf.einsum("mij,mvj->mvi", crop[..., :2], source) + crop[:, None, :, 2]
    to_crop = crop_rotation(crop, example["focal_length"])
    return {
        "neutral_shape": example["neutral_shape"],
        "albedo": example["albedo"],
        "blendshape_activations": example["blendshape_activations"],
        "rotation": rotation_vector(to_crop @ rotation),
        "positions": positions,
        "illumination": _turn_light(example["source_illumination"], to_crop),
    }


def crop_rotation(crop_transform, focal_length) -> tf.Tensor:
    """The turn from the source picture's camera to the crops' own cameras.

    A crop is taken as the picture of a camera that looks at the crop's centre, while the source's
    looks at the source's centre.

    Args:
      crop_transform: [M, 2, 3] from source to crop px, a scale and a shift.
      focal_length: px of the source picture, a scalar.

    Returns:
      [M, 3, 3].
    """
    centre = (CROP_SIZE / 2.0 - crop_transform[..., 2]) / crop_transform[:, 0, :1]
    right, down = tf.unstack((centre - SOURCE_SIZE / 2.0) / focal_length, axis=-1)
    axis = tf.math.l2_normalize(tf.stack([right, -down, -tf.ones_like(right)], axis=-1), axis=-1)
    # The least turn that brings the axis to (0, 0, -1): about (-axis_y, axis_x, 0).
    x, y, z = tf.unstack(axis, axis=-1)
    sine = tf.sqrt(x**2 + y**2)
    angle_by_sine = tf.where(sine > 0, tf.atan2(sine, -z) / tf.where(sine > 0, sine, 1.0), 1.0)
    vector = tf.stack([-y, x, tf.zeros_like(x)], axis=-1) * angle_by_sine[:, None]
    return rotation_matrix(vector)


def mirror_truth(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The truth of an example whose frames are mirrored left to right.

    Args:
      example: the features `TRUTH_FEATURES`, and any others.

    Returns:
      Those that change.
    """
    opposite_vertices, opposite_units = _symmetry()
    flip = np.float32([-1.0, 1.0, 1.0])
    signs = np.ones(9, np.float32)
    signs[_ODD_IN_X] = -1.0
    crop = example["crop_transform"]
    moved = CROP_SIZE - crop[:, 0, 0] * SOURCE_SIZE - crop[:, 0, 2]
    top = tf.stack([crop[:, 0, 0], crop[:, 0, 1], moved], axis=-1)
    return {
        "neutral_shape": flip * tf.gather(example["neutral_shape"], opposite_vertices),
        "albedo": tf.gather(example["albedo"], opposite_vertices),
        # A rotation vector is a pseudovector: the mirror keeps its x and turns y and z.
        "source_rotation": -flip * example["source_rotation"],
        "source_translation": flip * example["source_translation"],
        "blendshape_activations": tf.gather(
            example["blendshape_activations"], opposite_units, axis=-1
        ),
        "source_illumination": signs[:, None] * example["source_illumination"],
        "crop_transform": tf.stack([top, crop[:, 1]], axis=1),
    }


def albedo_difference(albedo: np.ndarray, truth: np.ndarray) -> float:
    """Mean difference of albedos [V, 3] after the best gain of each channel, in [0, 255].

    How bright the skin is cannot be told from how bright the light is.
    """
    gain = np.sum(albedo * truth, axis=0) / np.sum(albedo**2, axis=0)
    return float(255.0 * np.abs(gain * albedo - truth).mean())


def _turn_light(illumination, rotation):
    """Coefficients [M, 9, 3] of lights in a camera that is turned by rotations [M, 3, 3]."""
    turn = np.arange(_NUM_DIRECTIONS) * np.pi * (3.0 - np.sqrt(5.0))
    z = 1.0 - (2.0 * np.arange(_NUM_DIRECTIONS) + 1.0) / _NUM_DIRECTIONS  # evenly over the sphere
    radius = np.sqrt(1.0 - z**2)
    normals = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)
    normals = tf.constant(normals, illumination.dtype)
    before = tf.einsum("mji,nj->nim", rotation, normals)  # the same directions, unturned
    shading = tf.einsum("nbm,mbc->mnc", spherical_harmonics(before), illumination)
    harmonics = spherical_harmonics(normals[..., None])[..., 0]
    return tf.einsum("bn,mnc->mbc", tf.linalg.pinv(harmonics), shading)


@functools.cache
def _symmetry() -> tuple[np.ndarray, np.ndarray]:
    """For each vertex and each blendshape of our template the one on the other side."""
    template = load_makehuman("4k")
    distance, vertices = KDTree(template.mean_shape).query(template.mean_shape * (-1, 1, 1))
    if distance.max() > 1e-3:
        raise ValueError(f"{template.name}: not symmetric")
    names = template.blendshape_names
    return vertices, np.array([names.index(_opposite(name)) for name in names])


def _opposite(name: str) -> str:
    """The blendshape of the other side: ARKit's names end in Left or Right where there is one."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name
