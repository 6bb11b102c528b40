"""Multi-frame images of synthetic people with known truth; see `README.md`."""

from datasets.synthetic_faces.synthetic_faces_dataset_builder import (
    Builder,
    SyntheticFacesConfig,
    build,
)

__all__ = ["Builder", "SyntheticFacesConfig", "build"]
