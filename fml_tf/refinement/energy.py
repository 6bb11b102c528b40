"""What a refinement minimises, and its derivatives, for one frame at a time."""

import dataclasses

import numpy as np

from fml_tf.refinement.linear_face import LinearFace
from fml_tf.rendering.camera import PerspectiveCamera


@dataclasses.dataclass(frozen=True, eq=False)
class FrameState:
    """A frame as the current parameters form it, at the vertices of a `LinearFace`.

    Attributes:
      rotation: [3, 3].
      vertices: [P, 3] mm, camera space.
      translation: [3] mm.
    """

    rotation: np.ndarray
    vertices: np.ndarray
    translation: np.ndarray


def motion_jacobian(state: FrameState, face: LinearFace, length_unit_mm: float) -> np.ndarray:
    """Derivatives of the vertices in camera space [P, 3, Z + 6 + b], mm.

    By the identity, a further rotation (vector, radian, about the camera's axes), the translation
    in length units, and the expression.
    """
    rows = np.concatenate([face.shape, face.expression], axis=2)
    size = face.shape.shape[2]
    moved = np.einsum("ij,pjk->pik", state.rotation, rows)
    about = state.vertices - state.translation
    # d(exp(ω)·x)/dω = −[x]×
    x, y, z = about.T
    zero = np.zeros_like(x)
    turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    shift = np.broadcast_to(length_unit_mm * np.eye(3), turn.shape)
    return np.concatenate([moved[..., :size], turn, shift, moved[..., size:]], axis=2)


def position_jacobian(
    state: FrameState, motion: np.ndarray, camera: PerspectiveCamera
) -> np.ndarray:
    """Derivatives of the projected positions [P, 2, K], px, from those of the vertices."""
    depth = -state.vertices[:, 2]
    scale = camera.focal_length_px / depth
    across = scale[:, None] * (
        motion[:, 0] + (state.vertices[:, 0] / depth)[:, None] * motion[:, 2]
    )
    down = -scale[:, None] * (motion[:, 1] + (state.vertices[:, 1] / depth)[:, None] * motion[:, 2])
    return np.stack([across, down], axis=1)


def cauchy(squared: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """A robust ½ρ(s) of squared residuals, and the weight ρ'(s) that they get.

    Args:
      squared: in units of their variance.
      reach: where a residual starts to count less, standard deviations.
    """
    ratio = squared / reach**2
    return 0.5 * reach**2 * np.log1p(ratio), 1.0 / (1.0 + ratio)
