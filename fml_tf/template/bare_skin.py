"""The region of bare skin: where a face's albedo is even."""

import numpy as np

from fml_tf.template.face_template import FaceTemplate

_NOSE_BASE = 33  # of the 66 landmarks


def bare_skin(template: FaceTemplate) -> np.ndarray:
    """[V] bool: cheeks, nose and forehead, where no beard grows: skin above the nose's base."""
    height = template.mean_shape[template.landmark_vertices[_NOSE_BASE], 1]
    return template.regions["skin"] & (template.mean_shape[:, 1] > height)
