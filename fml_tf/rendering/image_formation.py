"""Vertex-wise image formation: pose, equation (3); projection; light, equation (7)."""

import tensorflow as tf

from fml_tf.geometry.normals import OneRing, vertex_normals
from fml_tf.rendering.backend import RenderingBackend
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.fast import FAST
from fml_tf.rendering.pose import rotate, rotation_matrix
from fml_tf.rendering.visibility import front_facing, inside_crop
from fml_tf.structures import FaceParameters
from fml_tf.xla import xla_cluster


def form_faces(
    identity_vertices,
    albedo,
    expression_displacements,
    parameters: FaceParameters,
    one_ring: OneRing,
    camera: PerspectiveCamera,
    backend: RenderingBackend = FAST,
):
    """Poses and shades the faces that a face model made: equation (3), pose, equation (7).

    Args:
      identity_vertices: [V, 3, B] mm, model space.
      albedo: [V, 3, B] sRGB.
      expression_displacements: [V, 3, N] mm, B·δ.
      parameters: of which pose and light are read.
      one_ring: rings of the mesh.
      camera: the crop's camera.
      backend: what projects and shades.

    Returns:
      vertices, normals, positions, colours and visibility as in `DecodedFaces`.
    """
    rotation = merge_frames(parameters.rotation)
    rotated = _rotate_frames(identity_vertices, expression_displacements, rotation)
    # Before the translation: at the camera's distance the last digit of float32 is 1e-4 mm, of
    # edges that are a fraction of a millimetre.
    normals = vertex_normals(rotated, one_ring)
    form_image = _form_image_by_xla if backend.xla else _form_image
    vertices, positions, colours, visible = form_image(
        rotated,
        normals,
        albedo,
        merge_frames(parameters.translation),
        merge_frames(parameters.illumination),
        camera,
        backend,
    )
    return vertices, normals, positions, colours, visible


def merge_frames(values):
    """Puts the frames of all people on one axis: [B, M, ...] → [B·M, ...]."""
    return tf.reshape(values, (-1, *values.shape[2:]))


def _repeat_frames(values, num_frames):
    """[V, 3, B] → [V, 3, N]: what belongs to a person, for each of its frames."""
    return tf.repeat(values, num_frames // tf.shape(values)[2], axis=2)


# XLA clusters of their own, with the normals between them: that takes half the time of single ops,
# while one large cluster would compute the normals again for each of their consumers.
@xla_cluster
def _rotate_frames(identity_vertices, expression_displacements, rotation):
    """Vertices with the camera's axes, not yet its origin, [V, 3, N]: equation (3), then R."""
    num_frames = tf.shape(rotation)[0]
    vertices = _repeat_frames(identity_vertices, num_frames) + expression_displacements
    return rotate(vertices, rotation_matrix(rotation))


def _form_image(rotated, normals, albedo, translation, illumination, camera, backend):
    """Camera-space vertices [V, 3, N], positions [V, 2, N], colours [V, 3, N], visible [V, N]."""
    vertices = rotated + tf.transpose(translation)
    positions = backend.project(vertices, camera)
    albedo = _repeat_frames(albedo, tf.shape(illumination)[0])
    colours = backend.shade(albedo, normals, illumination)
    visible = front_facing(vertices, normals) & inside_crop(positions, camera)
    return vertices, positions, colours, visible


_form_image_by_xla = xla_cluster(_form_image)
