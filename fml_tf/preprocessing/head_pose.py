"""Rigid head pose from landmarks, good enough to choose frames that differ in it.

Of a stranger's face seen under an unknown focal length, with landmarks that a detector found, it
ranks poses well but is no measurement: large turns come out too small.
"""

import dataclasses

import cv2
import numpy as np

# The face contour slides over the surface as the head turns, so it has no fixed point in 3D. Mouth
# and brows do move with the expression, but the nose and the eyes alone are too few and too flat:
# on a scan's renderings with known pose they gave a worse yaw and pitch than all inner points.
_INNER = slice(17, None)
# From OpenCV's camera (y down, looks along +z) to ours (y up, looks along -z) and back.
_FLIP = np.diag([1.0, -1.0, -1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class HeadPose:
    """Camera = R(rotation) @ model + translation, in the frames of `docs/conventions.md`.

    Attributes:
      rotation: [3] float32 rotation vector, radian.
      translation: [3] float32 mm; z < 0.
    """

    rotation: np.ndarray
    translation: np.ndarray


def head_pose(
    landmarks: np.ndarray, template_landmarks: np.ndarray, focal_length: float, width: int
) -> HeadPose:
    """Solves for the pose of the mean face under which it has these landmarks (PnP).

    Args:
      landmarks: [66, 2] crop px.
      template_landmarks: [66, 3] mm, model space: where the mean face has them.
      focal_length: in crop widths.
      width: the crop's width, px; the principal point is the crop's centre.

    Raises:
      ValueError: landmarks from which no pose follows (not finite, or all on a line).
    """
    focal_length_px = focal_length * width
    camera = np.array(
        [[focal_length_px, 0, width / 2], [0, focal_length_px, width / 2], [0, 0, 1]], np.float64
    )
    points = np.asarray(template_landmarks, np.float64)[_INNER]
    positions = np.asarray(landmarks, np.float64)[_INNER]
    if not np.isfinite(positions).all():
        raise ValueError("landmarks: not finite, no head pose")
    found, rotation, translation = cv2.solvePnP(
        points, positions, camera, None, flags=cv2.SOLVEPNP_SQPNP
    )
    if not found:
        raise ValueError("landmarks: no head pose fits them")
    rotation, translation = cv2.solvePnPRefineLM(
        points, positions, camera, None, rotation, translation
    )
    ours, _ = cv2.Rodrigues(_FLIP @ cv2.Rodrigues(rotation)[0])
    return HeadPose(
        ours.ravel().astype(np.float32), (_FLIP @ translation).ravel().astype(np.float32)
    )


def rotation_angles(rotations: np.ndarray) -> np.ndarray:
    """Angle of the rotation between each two of rotation vectors [F, 3]: [F, F] in [0, π] rad."""
    matrices = np.stack([cv2.Rodrigues(r)[0] for r in np.asarray(rotations, np.float64)])
    # trace(R_iᵀ R_j) = 1 + 2 cos(angle)
    traces = np.einsum("ikl,jkl->ij", matrices, matrices)
    return np.arccos(np.clip((traces - 1) / 2, -1, 1))
