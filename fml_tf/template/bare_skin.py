"""Where faces show bare skin, of one colour in most people: cheeks, nose and forehead."""

import numpy as np

from fml_tf.template.face_template import FaceTemplate

# Heights are compared on a cylinder about the head's vertical axis, where a jaw is no steeper than
# a cheek; as wide as a head, mm.
_RADIUS = 90.0
# Of the person's right half: landmarks along which beard and moustache end, from the nose outwards,
# and how far from each hair may still grow, mm outwards and up. A beard's edge is soft; these
# lie outside of what `fml_tf/synthesis/skin.py` paints (`tests/template_bare_skin_test.py`).
_HAIR_EDGE = ((31, (3.0, 1.0)), (48, (9.0, 14.0)), (3, (-19.0, 12.0)), (0, (-14.0, 6.0)))
_TWINS = {31: 35, 48: 54, 3: 13, 0: 16}


def bare_skin(template: FaceTemplate) -> np.ndarray:
    """The part of a template's region "skin" on which neither beard nor moustache grows.

    Deep3D (Deng et al., CVPRW 2019, section 3.2) wants the albedo of "cheek, nose and forehead"
    flat, Tewari et al. (CVPR 2018) that of skin without facial hair. Found by landmarks alone, so
    that every template has it, and no field of one, since `FaceTemplate.content_hash` is of fields.

    Returns:
      [V] bool.
    """
    across, up = _unrolled(template.mean_shape).T
    landmarks = _unrolled(template.mean_shape[template.landmark_vertices])
    edge = []
    for landmark, (outwards, above) in _HAIR_EDGE:
        twins = landmarks[[landmark, _TWINS[landmark]]]
        edge.append((np.abs(twins[:, 0]).mean() + outwards, twins[:, 1].mean() + above))
    # Rounded, so that a vertex on the edge falls to the same side on both halves of the face.
    above_hair = np.round(up - np.interp(np.abs(across), *np.transpose(edge)), 3) > 0
    return template.regions["skin"] & above_hair


def _unrolled(points: np.ndarray) -> np.ndarray:
    """Positions [..., 3] to arc length to the person's left and height, [..., 2] mm."""
    return np.stack([_RADIUS * np.arctan2(points[..., 0], points[..., 2]), points[..., 1]], axis=-1)
