"""Pictures of reconstructed faces: overlay, geometry, albedo and shading."""

import numpy as np
import tensorflow as tf

from fml_tf.files.images import to_bytes
from fml_tf.rendering.backend import RenderingBackend
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.fast import FAST
from fml_tf.structures import DecodedFaces
from fml_tf.template.face_template import FaceTemplate

BACKGROUND = 0.93
# Samples a pixel along each axis, so that the face's edge is smooth.
_SUPERSAMPLING = 2
# Shading is about 1 in even light and may reach beyond: shown so that 1 is a light grey.
_SHADING_EXPOSURE = 0.75
# The geometry is of grey clay under a lamp beside the camera and some light from everywhere.
_CLAY, _AMBIENT = 0.85, 0.25
_LAMP = np.array([0.25, 0.35, 0.9]) / np.linalg.norm([0.25, 0.35, 0.9])


def render_face(
    vertices: np.ndarray,
    attributes: np.ndarray,
    template: FaceTemplate,
    camera: PerspectiveCamera,
    backend: RenderingBackend = FAST,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders vertex attributes over the template's face region, anti-aliased.

    The whole mesh hides what is behind it, but only the face region shows, where it faces the
    camera: no scalp, neck or mouth bag, on which nothing was fitted.

    Args:
      vertices: [V, 3] mm, camera space.
      attributes: [V, C].
      template: gives triangles and the region.
      camera: size and focal length of the picture.
      backend: what draws.

    Returns:
      The attributes [H, W, C], zero where no face is, and the share of each pixel that the face
      covers, [H, W] in [0, 1]; both float32.
    """
    fine = PerspectiveCamera(
        focal_length_px=_SUPERSAMPLING * camera.focal_length_px,
        width=_SUPERSAMPLING * camera.width,
        height=_SUPERSAMPLING * camera.height,
    )
    # The region's edge runs across the triangles on it, half way: smoother than along their edges.
    of_face = np.float32(template.regions["face"])[:, None]
    attributes = np.concatenate([attributes, of_face], axis=1)
    values, _ = backend.render(
        vertices[..., None], attributes[..., None], template.triangles, fine, cull_backfaces=True
    )
    values = values[0].numpy()
    shown = np.float32(values[..., -1:] > 0.5)
    coverage = _shrink(shown)
    return _shrink(values[..., :-1] * shown) / np.maximum(coverage, 1e-6), coverage[..., 0]


def render_frame_pictures(
    frame: np.ndarray,
    decoded: DecodedFaces,
    frame_index: int,
    person_index: int,
    template: FaceTemplate,
    camera: PerspectiveCamera,
    backend: RenderingBackend = FAST,
) -> dict[str, np.ndarray]:
    """Renders one frame's reconstruction as pictures of the crop's size.

    Args:
      frame: [H, W, 3] the crop, float in [0, 1] or uint8.
      decoded: of `FaceReconstructor.decode`.
      frame_index: of the frame among the N of `decoded`.
      person_index: of its person among the B.
      template: the model's.
      camera: the model's.
      backend: what draws.

    Returns:
      [H, W, 3] uint8 by name: "input"; "overlay", the shaded face over the input; "geometry" as
      grey clay, lit from beside the camera; "albedo"; "shading", three quarters of it, so that what
      is brighter than an even light of 1 still shows.
    """
    frame = to_bytes(frame)
    colours = decoded.colours[..., frame_index].numpy()
    albedo = decoded.identity.albedo[..., person_index].numpy()
    normals = decoded.normals[..., frame_index].numpy()
    attributes = np.concatenate([colours, albedo, shading(colours, albedo), normals], axis=1)
    vertices = decoded.vertices[..., frame_index].numpy()
    values, coverage = render_face(vertices, attributes, template, camera, backend)
    colours, albedo, light, normals = np.split(values, 4, axis=-1)
    grey = np.repeat(_CLAY * clay(normals), 3, axis=-1)
    background = np.full(frame.shape, BACKGROUND, np.float32)
    return {
        "input": frame,
        "overlay": to_bytes(blend(colours, coverage, frame / 255.0)),
        "geometry": to_bytes(blend(grey, coverage, background)),
        "albedo": to_bytes(blend(albedo, coverage, background)),
        "shading": to_bytes(blend(_SHADING_EXPOSURE * light, coverage, background)),
    }


def clay(normals: np.ndarray) -> np.ndarray:
    """Brightness [..., 1] in [0, 1] of clay under a lamp beside the camera.

    Args:
      normals: [..., 3] camera space, of any length but zero.
    """
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    return (_AMBIENT + (1.0 - _AMBIENT) * np.maximum(normals @ _LAMP, 0.0))[..., None]


def shading(colours: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """The light of equation (7), shaded colours over albedo; zero where the albedo is zero."""
    return np.divide(colours, albedo, out=np.zeros_like(colours), where=albedo != 0.0)


def blend(picture: np.ndarray, coverage: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Lays a picture [H, W, 3], clipped to [0, 1], over a background, by its coverage [H, W]."""
    return background + coverage[..., None] * (np.clip(picture, 0.0, 1.0) - background)


def _shrink(values: np.ndarray) -> np.ndarray:
    """Means over the samples of each pixel."""
    return tf.nn.avg_pool2d(values[None], _SUPERSAMPLING, _SUPERSAMPLING, "VALID")[0].numpy()
