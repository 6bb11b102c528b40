"""Multi-frame images of synthetic people with known truth; see `README.md`."""

# Relative, since `tfds build` imports this folder as a top-level package.
from .synthetic_faces_dataset_builder import (
    CROP_SIZE,
    Builder,
    SyntheticFacesConfig,
    build,
)

__all__ = ["CROP_SIZE", "Builder", "SyntheticFacesConfig", "build"]
