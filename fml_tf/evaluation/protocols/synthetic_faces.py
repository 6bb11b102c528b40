"""Held-out people of `synthetic_faces`: everything against the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy.spatial.transform import Rotation

from fml_tf.data.batches import evaluation_examples
from fml_tf.data.ground_truth import albedo_difference
from fml_tf.evaluation.measures import (
    landmark_error,
    mean,
    per_vertex,
    point_and_plane,
    rms,
)
from fml_tf.evaluation.predictions import Frame, Prediction, Shape
from fml_tf.evaluation.protocols.base import Case, ErrorMap, Measure, Protocol, Score
from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.registration import fit_surface
from fml_tf.geometry.surface import Surface, vertex_areas
from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.template.makehuman import load_makehuman

# Directions of the camera's hemisphere at which lights are compared.
_NUM_DIRECTIONS = 500
# One in this many of the face's 1,865 vertices guides the ICP; all are measured.
_FIT_STRIDE = 3
# Levels of our template by their number of vertices.
_RESOLUTIONS = {4069: "4k", 16225: "16k", 64801: "60k"}

MEASURES = (
    Measure("per_vertex", "mm", "per-vertex RMSE of the neutral face after similarity alignment"),
    Measure("per_vertex_rigid", "mm", "the same after rigid alignment: size counts"),
    Measure("surface", "mm", "mean distance of the true surface to ours after ICP with scale"),
    Measure("surface_plane", "mm", "point-to-plane RMSE after the same ICP"),
    Measure("expressive", "mm", "per-vertex RMSE of the face with expression, similarity"),
    Measure("expression", "mm", "RMS difference of the expressions' displacements"),
    Measure("rotation", "°", "angle between true and predicted head pose"),
    Measure("landmarks", "px", "mean distance to the true landmarks in the crop"),
    Measure("photometric", "RGB", "mean absolute difference of the colours, [0, 255]"),
    Measure("albedo", "RGB", "mean difference of the albedo, [0, 255]"),
    Measure("albedo_gain", "RGB", "the same after the best gain of each channel"),
    Measure("light", "%", "RMS difference of the shading over directions, after the best gain"),
)


class SyntheticFaces(Protocol):
    """See `Protocol`. A case is a person (`person_id`), its frames those of one example.

    Args:
      builder: a prepared `synthetic_faces`.
      split: whose people.
    """

    name = "synthetic_faces"
    measures = MEASURES

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        self.template_region = load_makehuman("4k").regions["face"]
        self.settings = {"data": builder.info.full_name, "split": split}
        num_frames = builder.info.features["landmarks"].shape[0]
        self._examples = {}
        for batch, example in evaluation_examples(builder, split, num_frames):
            # What the crops' own cameras see of pose and light.
            of_crops = {"rotation": batch.truth.rotation[0], "light": batch.truth.illumination[0]}
            example = tf.nest.map_structure(lambda value: value.numpy(), {**example, **of_crops})
            name = example["person_id"].decode()
            while name in self._examples:  # a person may have several images
                name += "_"
            self._examples[name] = example

    def cases(self) -> Mapping[str, int]:
        """See `Protocol.cases`."""
        return {name: len(example["frames"]) for name, example in self._examples.items()}

    def person(self, name: str) -> str:
        """See `Protocol.person`."""
        return name.rstrip("_")  # what tells several images of one person apart

    def load(self, name: str) -> Case:
        """See `Protocol.load`."""
        example = self._examples[name]
        images = [
            tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
            for data in example["frames"]
        ]
        marks = zip(example["landmarks"], example["landmark_confidence"])
        frames = [
            Frame(f"{name}/{i}", image, is_crop=True, landmarks=landmarks)
            for i, (image, landmarks) in enumerate(zip(images, marks))
        ]
        return Case(name, frames, example)

    def score(self, case: Case, frames: Sequence[int], prediction: Prediction) -> Score:
        """See `Protocol.score`; the face region's vertices count."""
        template, truth = load_makehuman("4k"), case.truth
        neutral = truth["neutral_shape"].astype(np.float64)
        face = self.template_region
        shape = prediction.shape
        figures, distances = {}, np.zeros(0)

        corresponds = in_correspondence(shape)
        if corresponds:
            coarse = shape.vertices[: len(neutral)]
            distances = per_vertex(coarse[face], neutral[face])
            figures["per_vertex"] = rms(distances)
            figures["per_vertex_rigid"] = rms(per_vertex(coarse[face], neutral[face], False))

        areas = vertex_areas(neutral, template.triangles)[face]
        surface = Surface(shape.vertices, shape.triangles)
        marks = Shape(neutral, template.triangles, neutral[template.landmark_vertices])
        initial = procrustes(shape.seven, marks.seven)
        some = slice(None, None, _FIT_STRIDE)
        fit = fit_surface(surface, neutral[face][some], initial, areas[some])
        local = fit.apply_inverse(neutral[face])
        to_surface, to_plane = point_and_plane(local, surface)
        to_surface *= fit.scale
        figures["surface"] = mean(to_surface, areas)
        figures["surface_plane"] = rms(fit.scale * to_plane, areas)

        if corresponds and prediction.fit is not None:
            figures |= self._score_fit(truth, list(frames), prediction)
        if corresponds:
            fit = procrustes(coarse[face], neutral[face])
        errors = np.full(len(neutral), np.nan)
        errors[face] = distances if corresponds else to_surface
        error_map = ErrorMap(
            neutral,
            template.triangles,
            errors,
            fit.apply(shape.vertices),
            shape.triangles,
            fit.apply(shape.seven),
        )
        return Score(figures, distances if corresponds else to_surface, error_map)

    def _score_fit(self, truth, frames, prediction):
        """Figures of what only our own model predicts: expression, pose, light, albedo."""
        template, fit = load_makehuman("4k"), prediction.fit
        face, count = template.regions["face"], template.num_vertices
        neutral, identity = truth["neutral_shape"], prediction.shape.vertices[:count]
        activations = truth["blendshape_activations"][frames]
        expressions = np.tensordot(activations, template.blendshapes, axes=1)
        per_frame = {"expressive": [], "expression": [], "rotation": [], "landmarks": []}
        light = []
        for m, frame in enumerate(frames):
            displacement = fit.expressions[m, :count]
            per_frame["expressive"].append(
                rms(per_vertex((identity + displacement)[face], (neutral + expressions[m])[face]))
            )
            difference = np.linalg.norm((displacement - expressions[m])[face], axis=1)
            per_frame["expression"].append(rms(difference))

            pose = Rotation.from_rotvec(truth["rotation"][frame])
            predicted = Rotation.from_rotvec(fit.rotation[m]).apply(identity[face])
            turn = procrustes(predicted, pose.apply(neutral[face])).rotation
            per_frame["rotation"].append(np.degrees(Rotation.from_matrix(turn).magnitude()))

            vertices = truth["true_landmark_vertices"][frame]
            per_frame["landmarks"].append(
                mean(landmark_error(fit.positions[m, vertices], truth["true_landmarks"][frame]))
            )
            light.append(light_error(fit.illumination[m], truth["light"][frame]))
        figures = {name: float(np.mean(values)) for name, values in per_frame.items()}
        albedo, true_albedo = fit.albedo[:count][face], truth["albedo"][face]
        return figures | {
            "photometric": mean(fit.photometric_error),
            "albedo": 255.0 * mean(np.abs(albedo - true_albedo).mean(axis=1)),
            "albedo_gain": albedo_difference(albedo, true_albedo),
            "light": float(np.mean(light)),
        }


def in_correspondence(shape: Shape) -> bool:
    """Whether a shape's first vertices are those of the "4k" template, as of every finer level."""
    resolution = _RESOLUTIONS.get(len(shape.vertices))
    return resolution is not None and np.array_equal(
        shape.triangles, load_makehuman(resolution).triangles
    )


def light_error(light: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference of two lights' shading, as a percentage of the truth's.

    Over directions of the hemisphere that faces the camera, after the best gain of each channel:
    how bright the light is cannot be told from how bright the skin is.

    Args:
      light: [9, 3] in the crop's camera.
      truth: [9, 3] likewise.
    """
    turn = np.arange(_NUM_DIRECTIONS) * np.pi * (3.0 - np.sqrt(5.0))
    z = (np.arange(_NUM_DIRECTIONS) + 0.5) / _NUM_DIRECTIONS  # evenly spread over the hemisphere
    radius = np.sqrt(1.0 - z**2)
    normals = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)
    harmonics = spherical_harmonics(tf.constant(normals[..., None]))[..., 0].numpy()
    shading, true_shading = harmonics @ light, harmonics @ truth
    gain = np.sum(shading * true_shading, axis=0) / np.sum(shading**2, axis=0)
    return float(100.0 * np.sqrt(np.mean((gain * shading - true_shading) ** 2)) / rms(true_shading))
