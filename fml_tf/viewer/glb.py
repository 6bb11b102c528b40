"""A person as glTF."""

import numpy as np
import tensorflow as tf

from fml_tf.files.gltf import glb_bytes
from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.structures import Identity
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.inner_parts import inner_parts


def face_glb(person: Identity, template: FaceTemplate) -> bytes:
    """The neutral face of B = 1 person with the template's blendshapes: the content of a .glb.

    The template's vertices come first, and then those of its `inner_parts`.
    """
    vertices = person.neutral_vertices[..., 0].numpy()
    triangles, blendshapes, uv = template.triangles, template.blendshapes, template.uv
    albedo = person.albedo[..., 0].numpy()
    parts = inner_parts(vertices, template)
    if parts is not None:
        triangles = np.concatenate([triangles, parts.triangles + len(vertices)])
        vertices = np.concatenate([vertices, parts.vertices])
        albedo = np.concatenate([albedo, parts.albedo])
        blendshapes = np.concatenate([blendshapes, parts.blendshapes], axis=1)
        uv = np.concatenate([uv, np.zeros((len(parts.vertices), 2), np.float32)])
    one_ring = build_one_ring(triangles, len(vertices))
    poses = np.concatenate([vertices[None], vertices + blendshapes])
    normals = vertex_normals(tf.constant(poses.transpose(1, 2, 0)), one_ring)
    normals = normals.numpy().transpose(2, 0, 1)
    return glb_bytes(
        vertices,
        triangles,
        albedo,
        normals[0],
        uv,
        blendshapes,
        normals[1:] - normals[0],
        template.blendshape_names,
    )
