"""Spherical-harmonics light, equation (7) of the paper, on polynomials of the unit normal.

The route through spherical angles, as in `tensorflow_graphics.rendering.light`, has a NaN gradient
at a normal that faces the camera; polynomials have none, and cost a twentieth.
"""

import numpy as np
import tensorflow as tf

from fml_tf.rendering.block_diagonal import multiply_per_frame

# Normalisation of the real harmonics of degree 0, 1 and 2, in the order of docs/conventions.md.
_DEGREE_0 = 0.5 * np.sqrt(1 / np.pi)
_DEGREE_1 = 0.5 * np.sqrt(3 / np.pi)
_DEGREE_2 = 0.5 * np.sqrt(15 / np.pi)


def spherical_harmonics(normals):
    """The nine real spherical harmonics of unit normals.

    Args:
      normals: [V, 3, N] unit length, camera space.

    Returns:
      [V, 9, N] in the order of `docs/conventions.md`.
    """
    x, y, z = tf.unstack(normals, axis=1)
    bands = [
        tf.fill(tf.shape(x), tf.constant(_DEGREE_0, x.dtype)),
        _DEGREE_1 * y,
        _DEGREE_1 * z,
        _DEGREE_1 * x,
        _DEGREE_2 * x * y,
        _DEGREE_2 * y * z,
        _DEGREE_2 / np.sqrt(12) * (3.0 * z * z - 1.0),
        _DEGREE_2 * x * z,
        _DEGREE_2 / 2 * (x * x - y * y),
    ]
    return tf.stack(bands, axis=1)


def shade(albedo, normals, illumination):
    """Shaded colours: albedo × Σ_b γ_b H_b(n), equation (7); not clamped.

    Args:
      albedo: [V, 3, N] sRGB.
      normals: [V, 3, N] unit length, camera space.
      illumination: [N, 9, 3] coefficients γ, by colour channel.

    Returns:
      [V, 3, N] colours.
    """
    return albedo * multiply_per_frame(spherical_harmonics(normals), illumination)


def ambient_illumination(level: float = 1.0) -> np.ndarray:
    """Coefficients [9, 3] float32 of a light whose shading is `level` for every normal."""
    illumination = np.zeros([9, 3], np.float32)
    illumination[0] = level / _DEGREE_0
    return illumination
