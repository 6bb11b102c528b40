"""Where the face's parts lie on MakeHuman's base mesh: chosen by hand, on pictures.

Vertex numbers count the head's vertices in the order of base.obj (`build_face_template.py`). Only
the person's right half (x < 0) and the midline are listed; the mesh is symmetric and the left half
is mirrored. `tools/drawing/face_template.py` draws all of it.
"""

# iBUG numbers of the person's right half and the midline -> vertex; the contour 0-8 is below.
LANDMARKS = {
    17: 261, 18: 225, 19: 204, 20: 205, 21: 209,
    27: 132, 28: 131, 29: 164, 30: 294,
    31: 320, 32: 313, 33: 317,
    36: 21, 37: 6, 38: 54, 39: 66, 40: 47, 41: 36,
    48: 425, 49: 1637, 50: 460, 51: 466,
    57: 492, 58: 486, 59: 480,
    61: 514, 62: 520,
    66: 523, 67: 517,
}  # fmt: skip

# iBUG's left twins of the points above.
MIRROR = {
    26: 17, 25: 18, 24: 19, 23: 20, 22: 21,
    35: 31, 34: 32,
    45: 36, 44: 37, 43: 38, 42: 39, 47: 40, 46: 41,
    54: 48, 53: 49, 52: 50, 56: 58, 55: 59,
    63: 61, 65: 67,
    16: 0, 15: 1, 14: 2, 13: 3, 12: 4, 11: 5, 10: 6, 9: 7,
}  # fmt: skip

# Where the contour points 0-8 lie seen from the front: (x, y) mm on the average mean.
CONTOUR = (
    (-65.4, 0.8), (-64.8, -17.1), (-62.8, -34.5), (-59.4, -51.8), (-53.4, -68.7),
    (-43.6, -83.4), (-31.4, -95.4), (-16.4, -103.8), (0.0, -106.2),
)  # fmt: skip
# A contour point slides in the plane through it, the z direction and a point of the midline: its
# own height where it lies above this one (mm), so that it slides horizontally, else this one.
CONTOUR_PIVOT_Y = -56.0
# The landmark itself is seen from the front: the least z of its normal.
CONTOUR_FACING = 0.15
# Its chain begins this far inside it, seen from the front, and ends this far behind it or in front
# of the ears; the chain's vertices are this near to the plane.
CONTOUR_INSIDE_MM = 20.0
CONTOUR_BEHIND_MM = 32.0
CONTOUR_BACK_Z = -8.0
CONTOUR_OFF_PLANE_MM = 3.5

# Way points of closed curves, joined along the shortest edge paths and mirrored.
FACE_BORDER = (
    754, 746, 820, 1235, 741, 740, 795, 812, 770, 763, 771, 774, 1532, 1526, 266, 242, 1522, 1525,
    1538, 1536,
)  # fmt: skip
UPPER_LIP_BORDER = (466, 463, 460, 457, 451, 1637, 447, 413, 412, 427, 425)
LOWER_LIP_BORDER = (425, 423, 1241, 404, 405, 406, 480, 486, 492)
# One closed curve on the right half only.
NOSTRIL_RIM = (327, 345, 347, 354, 352, 328, 327)
LID_RIM = (
    0, 1, 54, 57, 60, 102, 63, 66, 69, 72, 53, 50, 47, 44, 41, 36, 33, 30, 1371, 27, 24, 21, 18,
    15, 12, 9, 6, 0,
)  # fmt: skip
# Where the upper lip meets the lower one: from the midline along the right half.
UPPER_INNER_LIP = (520, 521, 522, 514, 515, 1646)
# Detectors mark a brow's upper edge: its middle runs this far below the landmarks.
BROW_DROP_MM = 2.0
BROW_HALF_WIDTH_MM = 3.5
LID_WIDTH_MM = 3.5
