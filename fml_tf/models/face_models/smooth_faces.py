"""Faces that nobody has: smooth, symmetric random deformations and tones of a template (ours)."""

import numpy as np

from fml_tf.template.face_template import FaceTemplate

# Of Gaussian processes whose covariance is a sum of Gaussian kernels (Lüthi et al., Gaussian
# Process Morphable Models, PAMI 2018): mm of reach, deviation.
_SHAPE = ((60.0, 3.0), (30.0, 1.5), (15.0, 0.75))  # mm along each axis
_TONE = ((np.inf, 0.15), (60.0, 0.05), (20.0, 0.05))  # share of the tone, all channels alike
_COLOUR = ((np.inf, 0.03), (30.0, 0.03))  # share of the tone, each channel by itself
_NUM_WAVES = 200


def smooth_faces(
    template: FaceTemplate, tone: np.ndarray, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [n, V, 3] mm and albedos [n, V, 3] about a template's mean and a tone [3]."""
    rng = np.random.default_rng(seed)
    points = template.mean_shape.astype(np.float64)

    def draw(kernels, signs):
        return sum(
            deviation * _symmetric_field(points, reach, count, np.array(signs), rng)
            for reach, deviation in kernels
        )

    shapes = points + draw(_SHAPE, (-1.0, 1.0, 1.0))
    albedos = tone * (1.0 + draw(_TONE, (1.0,)) + draw(_COLOUR, (1.0, 1.0, 1.0)))
    return shapes.astype(np.float32), albedos.astype(np.float32)


def _symmetric_field(points, reach: float, count: int, signs, rng) -> np.ndarray:
    """[n, V, k] of a Gaussian kernel, by random waves (Rahimi and Recht, NIPS 2007).

    Values [k] at mirrored points are the values at the points times `signs`. Where the two halves
    do not reach each other, the variance is 1.
    """
    directions = rng.normal(size=(3, _NUM_WAVES)) / reach
    phases = rng.uniform(0.0, 2.0 * np.pi, _NUM_WAVES)
    heights = rng.normal(size=(count, _NUM_WAVES, len(signs))) / np.sqrt(_NUM_WAVES)
    mirrored = points * (-1.0, 1.0, 1.0)
    here, there = (np.cos(places @ directions + phases) for places in (points, mirrored))
    return here @ heights + (there @ heights) * signs
