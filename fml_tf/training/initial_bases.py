"""Where the bases of the face model start: at random, as in the paper, or from known people."""

import tensorflow_datasets as tfds
from absl import logging

from fml_tf.data.batches import known_people
from fml_tf.models.face_models.base import FaceModel
from fml_tf.models.face_models.graph import GraphFaceModel
from fml_tf.models.face_models.people_bases import people_bases

_MOST_PEOPLE = 3000


def start_from_people(face_model: FaceModel, builder: tfds.core.DatasetBuilder) -> None:
    """Sets Θs, Θa and r̄ to the principal components of a data set's training people (ours).

    Where there are fewer people than vectors, the other vectors stay as they are.

    Raises:
      ValueError: the face model has no such bases, or the data set's people are not known or do not
        fit its template.
    """
    if not isinstance(face_model, GraphFaceModel):
        raise ValueError(f"--initial_bases=people: {face_model.name} has no bases to set")
    shapes, albedos = known_people(builder, _MOST_PEOPLE)
    logging.info("bases start from %d people", len(shapes))
    bases = people_bases(face_model, shapes, albedos)
    face_model.mean_albedo.assign(bases.albedo_mean)
    for weight, columns in (
        (face_model.shape_basis, bases.shape),
        (face_model.albedo_basis, bases.albedo),
    ):
        values = weight.numpy()
        values[:, : columns.shape[1]] = columns
        weight.assign(values)
