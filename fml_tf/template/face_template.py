"""The face template: all that is given about faces before anything is learned."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from fml_tf.structures import NUM_LANDMARKS

NUM_CONTOUR_LANDMARKS = 17
REGIONS = ("face", "skin", "lips", "brows", "eyelids")


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTemplate:
    """Mean face, expressions and the places on it, in model space (`docs/conventions.md`).

    Attributes:
      name: what it was loaded from.
      mean_shape: [V, 3] float32 mm, v̄ of equation (3).
      triangles: [F, 3] int32, counter-clockwise seen from outside.
      uv: [V, 2] float32 texture coordinates, v up, or None.
      blendshapes: [K, V, 3] float32 mm, displacement at coefficient 1.
      blendshape_names: K names; ARKit's for the open template.
      blendshape_sigma: [K] float32 > 0, standard deviation of each coefficient about 0.
      landmark_vertices: [66] int32.
      contour_candidates: [17, C] int32, vertices over which the contour landmarks 0-16 slide when
        the head turns, from the face outwards; rows are padded by repeating their last vertex.
      regions: [V] bool each: "face" (what losses and measures see: the front of the head without
        scalp, ears, neck, mouth bag and the inside of the nostrils), "skin" (face without lips,
        brows and eyelids), "lips", "brows", "eyelids" (the lids' rims and what is close to them).
      mouth_opening: [V, 3] float32 mm, displacement that opens the mouth slightly.
    """

    name: str
    mean_shape: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None
    blendshapes: np.ndarray
    blendshape_names: tuple[str, ...]
    blendshape_sigma: np.ndarray
    landmark_vertices: np.ndarray
    contour_candidates: np.ndarray
    regions: Mapping[str, np.ndarray]
    mouth_opening: np.ndarray

    def __post_init__(self):
        count, shapes = len(self.mean_shape), len(self.blendshapes)
        self._check("mean_shape", np.float32, (count, 3))
        self._check("triangles", np.int32, (len(self.triangles), 3))
        if self.uv is not None:
            self._check("uv", np.float32, (count, 2))
        self._check("blendshapes", np.float32, (shapes, count, 3))
        self._check("blendshape_sigma", np.float32, (shapes,))
        self._check("landmark_vertices", np.int32, (NUM_LANDMARKS,))
        contour_shape = (NUM_CONTOUR_LANDMARKS, self.contour_candidates.shape[-1])
        self._check("contour_candidates", np.int32, contour_shape)
        self._check("mouth_opening", np.float32, (count, 3))
        if len(self.blendshape_names) != shapes:
            raise ValueError(
                f"{self.name}: {len(self.blendshape_names)} blendshape_names for {shapes} shapes"
            )
        if not (self.blendshape_sigma > 0).all():
            raise ValueError(f"{self.name}: blendshape_sigma must be positive")
        for field in ("triangles", "landmark_vertices", "contour_candidates"):
            indices = getattr(self, field)
            if indices.size and not 0 <= indices.min() <= indices.max() < count:
                raise ValueError(f"{self.name}: {field} indexes vertices outside [0, {count})")
        if set(self.regions) != set(REGIONS):
            raise ValueError(f"{self.name}: regions are {sorted(self.regions)}, need {REGIONS}")
        for region, mask in self.regions.items():
            if mask.shape != (count,) or mask.dtype != bool:
                raise ValueError(f"{self.name}: region {region} must be bool [{count}]")

    def _check(self, field: str, dtype: type, shape: tuple[int, ...]):
        value = getattr(self, field)
        if value.dtype != dtype or value.shape != shape:
            raise ValueError(
                f"{self.name}: {field} is {value.dtype}{list(value.shape)}, "
                f"expected {np.dtype(dtype)}{list(shape)}"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{self.name}: {field} holds values that are not finite")

    @property
    def num_vertices(self) -> int:
        """V."""
        return len(self.mean_shape)

    def content_hash(self) -> str:
        """Hash of every field but the name; keys caches of what is derived from the template."""
        digest = hashlib.sha256()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                continue
            parts = value.items() if isinstance(value, Mapping) else [(field.name, value)]
            for key, part in sorted(parts):
                data = np.asarray(part if part is not None else [])
                digest.update(f"{field.name} {key} {data.dtype} {data.shape};".encode())
                digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()
