"""What is scored: faces that a model, or any other method, made of a case's frames."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from fml_tf.geometry.landmark_order import FROM_68

# Outer and inner corner of the right eye, inner and outer of the left, under the nose, the mouth's
# corners: the seven points of the NoW challenge among ours, in its order.
SEVEN = np.array([36, 39, 42, 45, 33, 48, 54])


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a case.

    Attributes:
      name: unique in the data set, a relative path without suffix.
      image: [H, W, 3] uint8 RGB.
      is_crop: the image is a crop as the network wants it.
      box: (left, top, right, bottom) px of the face, where the data set gives one.
      landmarks: of a crop, [66, 2] px and their confidence [66], where the data set gives them.
    """

    name: str
    image: np.ndarray
    is_crop: bool = False
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[np.ndarray, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """A mesh with landmarks.

    Attributes:
      vertices: [V, 3] float64, mm where the protocol is metrical.
      triangles: [F, 3] int, counter-clockwise seen from outside.
      landmarks: [66, 3] or, of a method that has no more, the seven of `SEVEN` [7, 3].
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray

    def __post_init__(self):
        if self.landmarks.shape not in ((66, 3), (7, 3)):
            raise ValueError(f"landmarks must be [66, 3] or [7, 3], got {self.landmarks.shape}")

    @property
    def seven(self) -> np.ndarray:
        """[7, 3], the landmarks of the NoW challenge."""
        return self.landmarks if len(self.landmarks) == 7 else self.landmarks[SEVEN]


@dataclasses.dataclass(frozen=True, eq=False)
class FaceFit:
    """All that our model says about M frames of a person, beyond the neutral shape.

    Attributes:
      landmark_vertices: [66] int, those of `Shape.landmarks`.
      albedo: [V, 3] sRGB.
      expressions: [M, V, 3] mm, displacements from the neutral shape, model space.
      rotation: [M, 3] rotation vectors, model to camera space of each crop.
      positions: [M, V, 2] crop px.
      illumination: [M, 9, 3].
      photometric_error: [M] in [0, 255], mean absolute difference over the three channels and the
        visible vertices of the face region.
      photometric_distance: [M] in [0, 255·√3], mean Euclidean distance of the colours of the same
        vertices; None where colours are not compared.
    """

    landmark_vertices: np.ndarray
    albedo: np.ndarray
    expressions: np.ndarray
    rotation: np.ndarray
    positions: np.ndarray
    illumination: np.ndarray
    photometric_error: np.ndarray
    photometric_distance: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a method made of some frames of one person.

    Attributes:
      shape: the neutral face; of methods that predict one mesh, that mesh.
      fit: the rest, of our own model only; M counts the frames that were used.
      left_out: names of the frames that were not used, having no usable face.
      draw: pictures [H, W, 3] uint8 of frame m of M by name (`render_frame_pictures`), of our own
        model only.
      view: the page of `viewer_page` that shows the M frames, given their names, of our own model
        only.
    """

    shape: Shape
    fit: FaceFit | None = None
    left_out: tuple[str, ...] = ()
    draw: Callable[[int], dict[str, np.ndarray]] | None = None
    view: Callable[[Sequence[str]], str] | None = None

    def expressive(self, frame: int) -> Shape:
        """The face with the expression of a frame, model space; the neutral one without `fit`."""
        if self.fit is None:
            return self.shape
        displacements = self.fit.expressions[frame]
        return Shape(
            self.shape.vertices + displacements,
            self.shape.triangles,
            self.shape.landmarks + displacements[self.fit.landmark_vertices],
        )


def as_landmarks(points: np.ndarray, source: str) -> np.ndarray:
    """Brings 7, 66 or 68 landmarks, [P, 3] or [1, P, 3], into the form of `Shape.landmarks`.

    Raises:
      ValueError: another number of points, or values that are not finite.
    """
    points = np.asarray(points, np.float64)
    if points.ndim == 3 and len(points) == 1:
        points = points[0]
    if points.ndim != 2 or points.shape[1] != 3 or len(points) not in (7, 66, 68):
        raise ValueError(f"{source}: landmarks are {points.shape}; 7, 66 or 68 points are needed")
    if not np.isfinite(points).all():
        raise ValueError(f"{source}: landmarks are not finite")
    return points[FROM_68] if len(points) == 68 else points
