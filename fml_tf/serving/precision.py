"""What storing the bases in fewer bits costs."""

import numpy as np
import tensorflow as tf

from fml_tf.models.fml_model import FmlModel
from fml_tf.serving.signatures import folded_bases

# Faces to measure on: as far from the mean as people are from each other, whatever the scale that
# training has given to the coefficients. Expressions are drawn by their own σ.
SHAPE_RMS_MM = 4.0
ALBEDO_RMS = 0.1  # of the RGB vector: 0.058 a channel
NUM_FACES = 32


def rounding_errors(model: FmlModel, dtype: str, seed: int = 0) -> dict[str, float]:
    """Errors of faces whose bases are stored in `dtype`, against float32.

    Args:
      model: the model.
      dtype: "float32", "bfloat16" or "float16".
      seed: of the random faces.

    Returns:
      Mean and largest vertex error in mm, mean and largest error of a colour channel of the albedo
      in [0, 255], over all vertices of 32 random faces.
    """
    rng = np.random.default_rng(seed)
    bases = folded_bases(model)
    skinning = model.graph.skinning_matrix()

    def errors_of(basis, coefficients, rms=None, operator=None):
        error = basis - tf.cast(tf.cast(basis, dtype), tf.float32).numpy()
        faces, errors = (
            (matrix @ coefficients).reshape(-1, 3 * NUM_FACES) for matrix in (basis, error)
        )
        if operator is not None:
            faces, errors = operator @ faces, operator @ errors
        spread = np.sqrt(3.0) * np.sqrt(np.mean(faces**2))
        return errors.reshape(-1, 3, NUM_FACES) * (rms / max(spread, 1e-12) if rms else 1.0)

    def drawn(size):
        return rng.normal(size=(size, NUM_FACES)).astype(np.float32)

    sigma = model.expression_basis.sigma[:, None]
    vertices = errors_of(bases.shape, drawn(bases.shape.shape[1]), SHAPE_RMS_MM, skinning)
    vertices += errors_of(bases.expression, drawn(len(sigma)) * sigma)
    colours = errors_of(bases.albedo, drawn(bases.albedo.shape[1]), ALBEDO_RMS)
    vertices, colours = np.linalg.norm(vertices, axis=1), 255.0 * np.abs(colours)
    return {
        "vertex_error_mm_mean": float(vertices.mean()),
        "vertex_error_mm_max": float(vertices.max()),
        "albedo_error_rgb_mean": float(colours.mean()),
        "albedo_error_rgb_max": float(colours.max()),
    }
