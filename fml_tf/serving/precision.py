"""What storing the bases in fewer bits costs."""

import numpy as np
import tensorflow as tf

from fml_tf.models.reconstructor import FaceReconstructor

# Faces to measure on: as far from the mean as people are from each other, whatever the scale that
# training has given to the coefficients. Expressions are drawn by their own σ.
SHAPE_RMS_MM = 4.0
ALBEDO_RMS = 0.1  # of the RGB vector: 0.058 a channel
NUM_FACES = 32


def rounding_errors(model: FaceReconstructor, dtype: str, seed: int = 0) -> dict[str, float]:
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

    def drawn(size):
        return tf.constant(rng.normal(size=(NUM_FACES, size)), tf.float32)

    coefficients = {part.name: drawn(part.size) for part in model.identity_layout.parameters}
    mean = {name: tf.zeros((1, values.shape[1])) for name, values in coefficients.items()}
    exact, rounded = model.face_model.folded("float32"), model.face_model.folded(dtype)
    faces, centre, others = (
        exact.identity(coefficients),
        exact.identity(mean),
        rounded.identity(coefficients),
    )

    def errors(values, mean_values, other_values, rms):
        spread = np.sqrt(3.0 * np.mean((values - mean_values) ** 2))
        return (other_values - values).numpy() * rms / max(spread, 1e-12)

    vertices = errors(
        faces.neutral_vertices, centre.neutral_vertices, others.neutral_vertices, SHAPE_RMS_MM
    )
    colours = errors(faces.albedo, centre.albedo, others.albedo, ALBEDO_RMS)
    expression = drawn(len(model.expression_basis.sigma)) * model.expression_basis.sigma
    vertices += (
        rounded.expression_displacements(expression) - exact.expression_displacements(expression)
    ).numpy()
    vertices, colours = np.linalg.norm(vertices, axis=1), 255.0 * np.abs(colours)
    return {
        "vertex_error_mm_mean": float(vertices.mean()),
        "vertex_error_mm_max": float(vertices.max()),
        "albedo_error_rgb_mean": float(colours.mean()),
        "albedo_error_rgb_max": float(colours.max()),
    }
