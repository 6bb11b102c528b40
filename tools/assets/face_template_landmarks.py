"""The template's landmarks: as marked by hand, and moved to where detectors mark them."""

import json
import pathlib

import numpy as np
from scipy import sparse

from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.synthesis.anthropometry import PLACES
from tools.assets import face_template_marks as marks
from tools.assets.face_template_geometry import HeadGeometry

# Made by `tools.assets.calibrate_landmarks`, which starts from the asset.
DETECTED = pathlib.Path(__file__).with_name("detected_landmarks.json")
# A vertex off the lips' borders moves in place of one of them if it is no more than so much further
# from the place.
BORDER_LEAD = 1.25
# A measured vertex is a landmark as it is if it is so near to its place.
NEAR_MEASURED_MM = 1.0


def mark_landmarks(head: HeadGeometry, outer_skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 66 landmarks as marked by hand, and the sliding contour, [66] and [17, C]."""
    vertex = dict(marks.LANDMARKS)
    chains = []
    for number, point in enumerate(np.array(marks.CONTOUR)):
        vertex[number], chain = head.contour_chain(point, outer_skin)
        chains.append(chain)
    chains += [head.mirror[chain] for chain in chains[7::-1]]
    for left, right in marks.MIRROR.items():
        vertex[left] = head.mirror[vertex[right]]
    landmarks = np.array([vertex[i] for i in FROM_68])
    length = max(map(len, chains))
    candidates = np.stack([np.pad(c, (0, length - len(c)), mode="edge") for c in chains])
    return landmarks, candidates


def read_detected() -> dict[int, dict[int, float]]:
    """Where detectors mark the face: iBUG number -> vertex -> weight, of the person's right half.

    Without the file landmarks stay where they were marked by hand.
    """
    if not DETECTED.is_file():
        return {}
    places = json.loads(DETECTED.read_text())
    return {int(n): {int(v): w for v, w in place.items()} for n, place in places.items()}


def measured_vertices() -> set[int]:
    """Those of both halves that `anthropometry` measures."""
    return {row for sides in PLACES.values() for rows in sides for row in rows}


def move_to_detected(
    landmarks: np.ndarray, head: HeadGeometry, count: int
) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Moves a vertex along the surface to each place where detectors mark a landmark.

    It is the nearest one; those of the lips' borders stay unless no other is about as near, and
    those that `anthropometry` measures stay: they stand for a landmark if they are near.

    Args:
      landmarks: [66] as marked by hand.
      head: as marked by hand.
      count: n, vertices that any shape has.

    Returns:
      The landmarks with the moved vertices [66], and what moves them: [n, n], for any values.
    """
    left = {right: twin for twin, right in marks.MIRROR.items()}
    borders = {*marks.UPPER_LIP_BORDER, *marks.LOWER_LIP_BORDER}
    measured = measured_vertices()
    detected = read_detected()
    taken = {marks.LANDMARKS[number] for number in marks.LANDMARKS if number not in detected}
    landmarks, move = landmarks.copy(), sparse.eye(count, format="lil")
    for number, place in detected.items():
        target = np.average(head.vertices[list(place)], axis=0, weights=list(place.values()))
        gaps = {v: np.linalg.norm(head.vertices[v] - target) for v in place if v not in taken}
        if min(gaps.values()) > NEAR_MEASURED_MM:
            gaps = {v: gap for v, gap in gaps.items() if v not in measured} or gaps
        nearest = min(gaps.values())
        inside = [v for v in gaps if v not in borders and gaps[v] <= BORDER_LEAD * nearest]
        mover = min(inside or gaps, key=gaps.get)
        taken.add(mover)
        place = {mover: 1.0} if mover in measured else place
        vertices, weights = np.array(list(place)), np.array(list(place.values()))
        weights = weights / weights.sum()
        landmarks[np.searchsorted(FROM_68, number)] = mover
        move[mover] = 0
        move[mover, vertices] = weights
        if number in left:
            twin = head.mirror[mover]
            landmarks[np.searchsorted(FROM_68, left[number])] = twin
            move[twin] = 0
            move[twin, head.mirror[vertices]] = weights
    return landmarks, move.tocsr()
