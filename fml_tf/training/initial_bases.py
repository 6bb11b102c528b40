"""Where the bases of the face model start: at random, as in the paper, or from faces (ours)."""

import tensorflow_datasets as tfds
from absl import logging

from fml_tf.data.batches import known_people
from fml_tf.models.face_models.base import FaceModel
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.models.face_models.people_bases import people_bases
from fml_tf.models.face_models.smooth_faces import smooth_faces

_MOST_PEOPLE = 3000
_SMOOTH_FACES = 500


def set_initial_bases(
    face_model: FaceModel, initial_bases: str, builder: tfds.core.DatasetBuilder
) -> None:
    """Sets Θs, Θa and r̄ of a new model to principal components of faces, as the flag says.

    Where there are fewer faces than vectors, the other vectors stay as they are.

    Args:
      face_model: as it was built.
      initial_bases: see `TrainConfig.initial_bases`.
      builder: the data set whose training people 'people' are.

    Raises:
      ValueError: the face model has no such bases, or the data set's people are not known or do not
        fit its template.
    """
    if initial_bases == "random":
        return
    if not isinstance(face_model, GraphFaceModel):
        raise ValueError(f"--initial_bases={initial_bases}: {face_model.name} has no bases to set")
    if initial_bases == "people":
        shapes, albedos = known_people(builder, _MOST_PEOPLE)
    else:
        tone = face_model.mean_albedo.numpy().reshape(-1, 3).mean(axis=0)
        shapes, albedos = smooth_faces(face_model.template, tone, _SMOOTH_FACES)
    logging.info("bases start from %d %s faces", len(shapes), initial_bases)
    bases = people_bases(face_model, shapes, albedos)
    face_model.mean_albedo.assign(bases.albedo_mean)
    for weight, columns in (
        (face_model.shape_basis, bases.shape),
        (face_model.albedo_basis, bases.albedo),
    ):
        values = weight.numpy()
        values[:, : columns.shape[1]] = columns
        weight.assign(values)
