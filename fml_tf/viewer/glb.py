"""A person as glTF."""

import numpy as np
import tensorflow as tf

from fml_tf.files.gltf import glb_bytes
from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.structures import Identity
from fml_tf.template.face_template import FaceTemplate


def face_glb(person: Identity, template: FaceTemplate) -> bytes:
    """The neutral face of B = 1 person with the template's blendshapes: the content of a .glb."""
    neutral = person.neutral_vertices[..., 0].numpy()
    one_ring = build_one_ring(template.triangles, template.num_vertices)
    poses = np.concatenate([neutral[None], neutral + template.blendshapes])
    normals = vertex_normals(tf.constant(poses.transpose(1, 2, 0)), one_ring)
    normals = normals.numpy().transpose(2, 0, 1)
    return glb_bytes(
        neutral,
        template.triangles,
        person.albedo[..., 0].numpy(),
        normals[0],
        template.uv,
        template.blendshapes,
        normals[1:] - normals[0],
        template.blendshape_names,
    )
