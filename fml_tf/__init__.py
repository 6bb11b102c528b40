"""Face Model Learning from Videos (CVPR 2019): from photos or a video of a person to a 3D face.

import fml_tf

model = fml_tf.load_model()
face = fml_tf.reconstruct("me.jpg", model)
face.faces.identity.neutral_vertices  # [V, 3, 1] mm
"""

import importlib

__version__ = "0.2.0"

_PUBLIC = {
    "load_model": "fml_tf.models.saving",
    "reconstruct": "fml_tf.reconstruction.reconstruction",
}
__all__ = ["__version__", "load_model", "reconstruct"]


def __getattr__(name: str):
    """Imports what is asked for, and TensorFlow with it, no sooner."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fml_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
