"""From another project's face model to a `FaceTemplate`: what the readers share.

The readers (`basel.py`, `flame.py`, `ict.py`) take mesh, expressions and landmarks from the files.
Regions, the sliding contour and the slightly open mouth are derived here, by plain geometry on the
mean shape: good for the losses, not a hand-made annotation.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, KDTree
from scipy.spatial.transform import Rotation

from fml_tf.geometry import topology
from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.template.face_template import FaceTemplate

_NOSE_TIP = 30
_UPPER_LIP = np.array([49, 50, 51, 52, 53, 60, 61, 62])
_LOWER_LIP = np.array([55, 56, 57, 58, 59, 63, 64, 65])
_CHIN = np.arange(5, 12)
_MOUTH_GAP_MM = 8.0  # slightly open
_CANDIDATES = 24  # of each sliding landmark


def require(
    fields: Mapping, name: str, path: pathlib.Path, shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """Returns a field of a file as an array of the given shape (None is any length).

    Raises:
      ValueError: naming file and field, if it is not there, not an array of finite numbers, or of
        another shape.
    """
    if name not in fields:
        raise ValueError(f"{path}: field {name} is missing")
    try:
        array = np.asarray(fields[name][()] if hasattr(fields[name], "chunks") else fields[name])
    except OSError as error:
        raise ValueError(f"{path}: field {name} cannot be read: {error}") from None
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"{path}: field {name} does not hold finite numbers")
    fits = shape is None or (
        array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    )
    if not fits:
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{path}: field {name} has shape {array.shape}, not {wanted}")
    return array


@dataclasses.dataclass(frozen=True, eq=False)
class ForeignModel:
    """What a file holds, in its own order of vertices and with its own origin.

    Attributes:
      name: of the template, and of its file in errors.
      vertices: [V, 3] mm, mean shape; x to the person's left, y up, z out of the face.
      triangles: [F, 3].
      blendshapes: [K, V, 3] mm, displacements at coefficient 1.
      blendshape_names: K names.
      blendshape_sigma: [K], standard deviation of each coefficient.
      landmarks: [66] or [68] vertices, in the order of Multi-PIE/iBUG.
      shape_basis: [k, V, 3] mm, of people's neutral shapes, each as long as its standard deviation.
      mean_albedo, albedo_basis: [V, 3] and [k, V, 3] sRGB, likewise; None where the model has none.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    blendshapes: np.ndarray
    blendshape_names: Sequence[str]
    blendshape_sigma: np.ndarray
    landmarks: np.ndarray
    shape_basis: np.ndarray
    mean_albedo: np.ndarray | None = None
    albedo_basis: np.ndarray | None = None

    def kept(self) -> np.ndarray:
        """[V] bool, the connected part of the mesh that holds the tip of the nose.

        Eyeballs, teeth and lashes of other models go.

        Raises:
          ValueError: another number of landmarks, or some outside of that part.
        """
        landmarks = _landmarks_66(self.name, self.landmarks)
        for what, indices in [("landmarks", landmarks), ("triangles", self.triangles)]:
            if indices.min() < 0 or indices.max() >= len(self.vertices):
                raise ValueError(
                    f"{self.name}: {what} name a vertex outside of the {len(self.vertices)}"
                )
        adjacency = topology.vertex_adjacency(self.triangles, len(self.vertices))
        _, parts = connected_components(adjacency)
        kept = parts == parts[landmarks[_NOSE_TIP]]
        if not kept[landmarks].all():
            stray = np.flatnonzero(~kept[landmarks])
            raise ValueError(
                f"{self.name}: landmarks {stray.tolist()} are not on the part with the nose"
            )
        return kept


def make_template(model: ForeignModel) -> FaceTemplate:
    """Brings a face model into the conventions and derives the parts that it lacks.

    Keeps the part of `ForeignModel.kept`, turns its triangles outwards and moves the origin as in
    `docs/conventions.md`.

    Returns:
      The template, without texture coordinates.

    Raises:
      ValueError: landmarks outside of the mesh's main part, or expressions that open no mouth.
    """
    name, kept = model.name, model.kept()
    landmarks = _landmarks_66(name, model.landmarks)
    renumber = np.cumsum(kept) - 1
    vertices, blendshapes = model.vertices[kept].astype(np.float64), model.blendshapes[:, kept]
    triangles = renumber[model.triangles[kept[model.triangles[:, 0]]]]
    landmarks = renumber[landmarks]

    vertices = vertices - vertices[landmarks[[36, 45]]].mean(axis=0) + [0, 0, 60]
    triangles = _outward(vertices, triangles)
    regions = _regions(vertices, triangles, landmarks)
    return FaceTemplate(
        name=name,
        mean_shape=vertices.astype(np.float32),
        triangles=triangles.astype(np.int32),
        uv=None,
        blendshapes=blendshapes.astype(np.float32),
        blendshape_names=tuple(model.blendshape_names),
        blendshape_sigma=np.asarray(model.blendshape_sigma, np.float32),
        landmark_vertices=landmarks.astype(np.int32),
        contour_candidates=_contour_candidates(vertices, regions["face"], landmarks),
        regions=regions,
        mouth_opening=_mouth_opening(name, blendshapes, model.blendshape_sigma, landmarks),
    )


def _landmarks_66(name, landmarks):
    landmarks = np.asarray(landmarks, np.int64).reshape(-1)
    if len(landmarks) == 68:
        landmarks = landmarks[FROM_68]
    if len(landmarks) != 66:
        raise ValueError(f"{name}: {len(landmarks)} landmarks; 68 or 66 are needed")
    return landmarks


def _outward(vertices, triangles):
    """Flips all triangles if most of their area faces the inside of the head."""
    corners = vertices[triangles] - vertices.mean(axis=0)
    # Six times the volume of the fan of tetrahedra; an open surface around its centre has one too.
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return triangles if volume > 0 else triangles[:, ::-1]


def _regions(vertices, triangles, landmarks):
    """Returns the region masks, each [V] bool."""
    points = vertices[landmarks]
    brow_height = points[17:27, 1].max()
    forehead_top = brow_height + 0.7 * (brow_height - points[33, 1])
    sides = points[[0, 16], :2] * [1, 0] + [0, forehead_top]
    outline = np.concatenate([points[:17, :2], sides])
    outline = outline.mean(axis=0) + 1.05 * (outline - outline.mean(axis=0))
    in_front = _exposed(vertices, triangles) & (vertices[:, 2] > points[[0, 16], 2].mean() - 10)

    face = in_front & _inside_hull(vertices, outline)
    lip_depth = np.abs(vertices[:, 2] - points[48:66, 2].mean()) < 15
    lips = (in_front & lip_depth & _inside_hull(vertices, points[48:60, :2])) | (
        # The inner rims touch where the mouth is shut.
        _distance_to_line(vertices, points[[48, 60, 61, 62, 54, 63, 64, 65, 48]]) < 3
    )
    brows = in_front & (
        (_distance_to_line(vertices, points[17:22]) < 5)
        | (_distance_to_line(vertices, points[22:27]) < 5)
    )
    eyelids = in_front & (
        (_distance_to_line(vertices, points[[*range(36, 42), 36]]) < 6)
        | (_distance_to_line(vertices, points[[*range(42, 48), 42]]) < 6)
    )
    return {
        "face": face | lips,
        "skin": face & ~lips & ~brows & ~eyelids,
        "lips": lips,
        "brows": brows,
        "eyelids": eyelids,
    }


def _inside_hull(vertices, outline):
    return Delaunay(outline).find_simplex(vertices[:, :2]) >= 0


def _distance_to_line(vertices, line):
    along = np.linspace(0, len(line) - 1, 20 * len(line))
    dense = np.stack([np.interp(along, np.arange(len(line)), axis) for axis in line.T], axis=1)
    return KDTree(dense).query(vertices)[0]


def _exposed(vertices, triangles):
    """Returns [V]: seen from the front or from 45° left or right; not so the bag of the mouth."""
    cell, slack = 2.0, 3.0  # mm
    # Points all over each triangle, as close together as the cells of coarse meshes need.
    steps = np.linspace(0, 1, 6)
    weights = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b < 1 + 1e-9])
    surface = np.einsum("pc,fcx->fpx", weights, vertices[triangles]).reshape(-1, 3)
    seen = np.zeros(len(vertices), bool)
    for yaw in (-45, 0, 45):
        points = Rotation.from_euler("y", yaw, degrees=True).apply(
            np.concatenate([vertices, surface])
        )
        column, row = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / cell).astype(int).T
        nearest = np.full((row.max() + 1, column.max() + 1), -np.inf)
        np.maximum.at(nearest, (row, column), points[:, 2])
        depth_behind = (nearest[row, column] - points[:, 2])[: len(vertices)]
        seen |= depth_behind < slack
    return seen


def _contour_candidates(vertices, face, landmarks):
    """Returns [17, 24]: for each contour landmark the vertices that its silhouette slides over.

    They lie, in the front view, on a line through the landmark: level above the mouth, from the
    middle of the mouth below it; from half way out to a little beyond.
    """
    middle_x, mouth_y = vertices[landmarks[61], :2]
    candidates = []
    for vertex in landmarks[:17]:
        offsets = vertices[:, :2] - [middle_x, max(mouth_y, vertices[vertex, 1])]
        reach = np.linalg.norm(offsets[vertex])
        direction = offsets[vertex] / reach
        along = offsets @ direction
        across = np.abs(offsets @ [-direction[1], direction[0]])
        close = np.linalg.norm(vertices - vertices[vertex], axis=1) < 0.7 * reach
        near = face & close & (along > 0.5 * reach) & (along < 1.15 * reach)
        near = np.flatnonzero(near)
        # The best-centred vertex of each step along the ray.
        steps = np.floor((along[near] / reach - 0.5) * _CANDIDATES / 0.65).astype(int)
        order = np.lexsort([across[near], steps])
        _, first = np.unique(steps[order], return_index=True)
        chosen = np.append(vertex, near[order[first]])[:_CANDIDATES]
        padded = np.full(_CANDIDATES, vertex)
        padded[: len(chosen)] = chosen
        candidates.append(padded)
    return np.array(candidates, np.int32)


def _mouth_opening(name, blendshapes, sigma, landmarks):
    """Returns [V, 3]: the expression of least effort that lowers lower lip and chin, and no more.

    Least squares on the landmarks with the coefficients' σ as prior, then scaled to an opening of
    8 mm between the inner lips.
    """
    wanted = np.zeros((66, 3))
    wanted[_LOWER_LIP, 1] = -_MOUTH_GAP_MM
    wanted[_CHIN, 1] = -0.5 * _MOUTH_GAP_MM
    scaled = blendshapes[:, landmarks].reshape(len(blendshapes), -1) * np.asarray(sigma)[:, None]
    normal = scaled @ scaled.T + 1.0 * np.eye(len(scaled))  # 1 σ of effort against 1 mm of error
    coefficients = np.asarray(sigma) * np.linalg.solve(normal, scaled @ wanted.reshape(-1))
    opening = np.tensordot(coefficients, blendshapes, axes=1)
    gap = opening[landmarks[_UPPER_LIP], 1].mean() - opening[landmarks[_LOWER_LIP], 1].mean()
    if gap < 0.1 * _MOUTH_GAP_MM:
        raise ValueError(f"{name}: its expressions do not open the mouth")
    return (opening * (_MOUTH_GAP_MM / gap)).astype(np.float32)
