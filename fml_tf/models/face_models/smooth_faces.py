"""Faces that nobody has: smooth, symmetric random deformations and tones of a template (ours)."""

import numpy as np

from fml_tf.geometry.smooth_fields import SymmetricFields
from fml_tf.template.face_template import FaceTemplate

# mm of reach; deviations.
_SHAPE = ((60.0, 3.0), (30.0, 1.5), (15.0, 0.75))  # mm along each axis
_TONE = ((np.inf, 0.15), (60.0, 0.05), (20.0, 0.05))  # share of the tone, all channels alike
_COLOUR = ((np.inf, 0.03), (30.0, 0.03))  # share of the tone, each channel by itself


def smooth_faces(
    template: FaceTemplate, tone: np.ndarray, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [n, V, 3] mm and albedos [n, V, 3] about a template's mean and a tone [3]."""
    rng = np.random.default_rng(seed)
    points = template.mean_shape.astype(np.float64)

    def draw(kernels, signs):
        fields = SymmetricFields(points, kernels)
        return fields.field(rng.normal(size=(count, fields.num_waves, len(signs))), signs)

    shapes = points + draw(_SHAPE, (-1.0, 1.0, 1.0))
    albedos = tone * (1.0 + draw(_TONE, (1.0,)) + draw(_COLOUR, (1.0, 1.0, 1.0)))
    return shapes.astype(np.float32), albedos.astype(np.float32)
