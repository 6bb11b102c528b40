"""Bases of the graph face model from people whose shape and albedo are known (ours)."""

import dataclasses

import numpy as np
import scipy.linalg

from fml_tf.geometry.alignment import procrustes
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.template.deformation_graph import pockets

# Weight of vertices that no loss sees, beside 1 for the face.
_ELSEWHERE = 0.05
_RIDGE = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class PeopleBases:
    """Principal components of people; a coefficient of 1 is one standard deviation.

    Attributes:
      shape: [3G, k] in length units, Θs: the components about the template's mean, since the model
        has no other; each has no part in span(B_G), which the OCL would take away.
      albedo_mean: [3V], r̄.
      albedo: [3V, k'], Θa.
    """

    shape: np.ndarray
    albedo_mean: np.ndarray
    albedo: np.ndarray


def people_bases(model: GraphFaceModel, shapes: np.ndarray, albedos: np.ndarray) -> PeopleBases:
    """The bases of a model that show these people best, over the region `face`.

    Args:
      model: its template, graph and OCL; sizes.
      shapes: [n, V, 3] mm, neutral, anywhere and of any size: they are aligned by similarity.
      albedos: [n, V, 3] sRGB.

    Raises:
      ValueError: the people are not in correspondence with the model's template.
    """
    template = model.template
    if shapes.shape[1:] != template.mean_shape.shape:
        raise ValueError(
            f"people of {shapes.shape[1]} vertices do not fit the template's "
            f"{template.num_vertices}: those of synthetic_faces are in correspondence with "
            "--template=makehuman --template_resolution=4k alone"
        )
    face = template.regions["face"]
    weights = np.where(face, 1.0, np.where(pockets(template), 0.0, _ELSEWHERE))
    displacements = np.stack(
        [procrustes(shape[face], template.mean_shape[face]).apply(shape) for shape in shapes]
    )
    displacements -= template.mean_shape
    moves = similarity_moves(template.mean_shape, weights)
    nodes = _nodes_of(model, displacements / model.length_unit_mm, weights, moves)
    # Components of what the face shows: the scalp's say is as small as in the fit.
    by_node = nodes.T.reshape(-1, 3 * len(nodes))  # [G, 3n]
    shown = (model.graph.skinning_matrix() @ by_node).reshape(len(face), -1, len(nodes))
    shape = nodes.T @ _directions(shown, weights, model.config.shape_size, moves)

    mean = albedos.mean(axis=0)
    differences = (albedos - mean).transpose(1, 2, 0)
    flat = differences.reshape(-1, len(albedos))
    albedo = flat @ _directions(differences, weights, model.config.albedo_size)
    return PeopleBases(*(a.astype(np.float32) for a in (shape, mean.reshape(-1), albedo)))


def similarity_moves(mean_shape: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[3V, 7] orthonormal: small shifts, turns and growth of a shape, times the weights' root.

    A face is the same face wherever it lies and however large: what the OCL keeps an identity from
    doing, it can often do together with one of these.
    """
    x, y, z = mean_shape.T.astype(np.float64)
    zero, one = np.zeros_like(x), np.ones_like(x)
    columns = [
        *((one, zero, zero), (zero, one, zero), (zero, zero, one)),
        *((zero, -z, y), (z, zero, -x), (-y, x, zero), (x, y, z)),
    ]
    columns = np.stack([np.stack(c, axis=1).ravel() for c in columns], axis=1)
    return np.linalg.qr(np.repeat(np.sqrt(weights), 3)[:, None] * columns)[0]


def _nodes_of(model: GraphFaceModel, displacements, weights, moves) -> np.ndarray:
    """Displacements [n, V, 3] of vertices → of nodes [n, 3G], outside of span(Q), least squares.

    Up to `similarity_moves`, which cost nothing.
    """
    root = np.sqrt(weights)
    skinning = model.graph.skinning_matrix().astype(np.float64).multiply(root[:, None]).tocsr()
    free = scipy.linalg.null_space(model.orthogonal_complement.basis.T)
    nodes = skinning.shape[1]
    shown = (skinning @ free.reshape(nodes, -1)).reshape(-1, free.shape[1])
    shown -= moves @ (moves.T @ shown)
    targets = (root[:, None] * displacements).reshape(len(displacements), -1).T
    normal = shown.T @ shown
    normal += _RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    return (free @ scipy.linalg.solve(normal, shown.T @ targets, assume_a="pos")).T


def _directions(samples, weights, count: int, moves=None) -> np.ndarray:
    """Combinations [n, k] of samples [V, 3, n] that are principal components of size 1 σ."""
    flat = (np.sqrt(weights)[:, None, None] * samples).reshape(-1, samples.shape[-1])
    if moves is not None:
        flat = flat - moves @ (moves.T @ flat)
    energy, vectors = scipy.linalg.eigh(flat.T @ flat)
    kept = min(count, int(np.sum(energy > 1e-9 * energy[-1])))
    vectors = vectors[:, ::-1][:, :kept]
    return vectors / np.sqrt(samples.shape[-1])
