"""Pictures of a head: diffuse light of equation (7), and what our model does not have.

Beyond the model: a key light that casts shadows and whose highlights follow Blinn and Phong,
ambient occlusion, eyes, teeth, hair. Colours are multiplied in sRGB, as in the model, so that the
albedo is that of equation (7).
"""

import cv2
import numpy as np
import tensorflow as tf

from fml_tf.mesh.normals import build_one_ring, vertex_normals
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person
from fml_tf.synthesis.scene import HeadPose, Light

_IRIS_RADIUS, _PUPIL_RADIUS = 0.43, 0.17  # sine of the angle from the eye's axis
_SHADOW_REACH_MM = (3, 6, 10, 15, 21, 28, 36, 45, 56, 70)
_SHADOW_THICKNESS_MM = 70.0
_OCCLUSION_SIGMAS_MM = (4.0, 14.0)


class Renderer:
    """Draws people of one `HeadModel`."""

    def __init__(self, head: HeadModel):
        self._head = head
        all_triangles = np.concatenate([head.triangles, head.glasses_triangles])
        self._one_ring = build_one_ring(all_triangles, head.num_vertices)
        self._triangles = {False: head.triangles, True: all_triangles}
        material = head.material
        self._kinds = ("mouth", "teeth", "cloth", "frame")
        self._static = np.concatenate(
            [
                head.canvas_points,
                head.eye_directions,
                material.skin[:, None],
                material.eye[:, None],
                np.maximum(material.eye, 0.4 * material.teeth + 0.6 * material.frame)[:, None],
            ],
            axis=1,
        )
        self._normals = tf.function(
            lambda vertices: vertex_normals(vertices, self._one_ring), reduce_retracing=True
        )
        self._rasterizers = {}

    def _rasterize(self, vertices, triangles, camera):
        # The camera is baked into the graph but for the focal length, which scales x and y alike.
        size = (camera.width, camera.height)
        if size not in self._rasterizers:
            fixed = PerspectiveCamera(camera.width, camera.width, camera.height)
            self._rasterizers[size] = tf.function(
                lambda v, t: rasterize(v, t, fixed), reduce_retracing=True
            )
        scale = np.array([camera.focal_length_px / camera.width] * 2 + [1], np.float32)
        return self._rasterizers[size](tf.constant(vertices * scale), tf.constant(triangles))

    def draw(
        self,
        person: Person,
        vertices: np.ndarray,
        pose: HeadPose,
        light: Light,
        camera: PerspectiveCamera,
        background: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws one frame.

        Args:
          person: whose colours to use.
          vertices: [V', 3] mm, model space, of `HeadModel.deform`.
          pose: of the head.
          light: in camera space.
          camera: W x H.
          background: [H, W, 3] float32.

        Returns:
          Picture [H, W, 3] float32, not clipped; depth [H, W] mm, infinite on the background; and the
          vertex normals [V', 3] in camera space.
        """
        posed = pose.apply(vertices)
        triangles = self._triangles[person.wears_glasses]
        fragments = self._rasterize(posed, triangles, camera)
        depth = fragments.depth.numpy()
        ids = fragments.triangle_ids.numpy()
        rows, columns = np.nonzero(ids >= 0)
        corners = triangles[ids[rows, columns]]
        weights = fragments.barycentrics.numpy()[rows, columns]

        normals_at_vertices = self._normals(posed[:, :, None])[:, :, 0].numpy()
        plain = sum(
            getattr(self._head.material, kind)[:, None] * person.colours[kind].astype(np.float32)
            for kind in self._kinds
        )
        attributes = np.concatenate([normals_at_vertices, posed, plain, self._static], axis=1)
        pixels = sum(attributes[corners[:, k]] * weights[:, k, None] for k in range(3))
        normals, positions, albedo, points, eye, skin, is_eye, shiny = np.split(
            pixels, [3, 6, 9, 11, 14, 15, 16], axis=1
        )
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        albedo = albedo + skin * self._head.canvas.sample(person.texture, points)
        albedo = albedo + is_eye * _eye_colours(eye, person)

        scale = camera.focal_length_px / -float(pose.translation[2])  # px a mm
        shadow = _cast_shadow(depth, light.key_direction, scale)[rows, columns, None]
        occlusion = _ambient_occlusion(depth, scale)[rows, columns, None]
        towards_light = normals @ light.key_direction
        bands = spherical_harmonics(tf.constant(normals[:, :, None]))[:, :, 0].numpy()
        ambient = np.maximum(bands @ light.ambient, 0.02)
        diffuse = np.maximum(towards_light, 0)[:, None] * light.key_colour
        colours = albedo * (ambient * occlusion + diffuse * shadow * np.sqrt(occlusion))

        view = -positions / np.linalg.norm(positions, axis=1, keepdims=True)
        half = view + light.key_direction
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        alignment = np.clip(np.sum(normals * half, axis=1), 0, 1)[:, None]
        lit = np.clip(4 * towards_light, 0, 1)[:, None] * shadow
        highlight = person.gloss * skin * alignment**person.gloss_exponent
        highlight = highlight + 0.9 * shiny * alignment**150
        # A little of the surroundings mirrors in wet eyes wherever the key light is.
        colours += highlight * lit * light.key_colour

        picture = background.copy()
        coverage = _soft_coverage(ids >= 0)[..., None]
        drawn = np.zeros_like(picture)
        drawn[rows, columns] = colours
        # Spread colours over the edge, so that blending there does not darken.
        spread = cv2.blur(drawn, (3, 3)) / np.maximum(cv2.blur((ids >= 0).astype(np.float32), (3, 3)), 1e-6)[..., None]
        drawn = np.where((ids >= 0)[..., None], drawn, spread)
        return picture + coverage * (drawn - picture), depth, normals_at_vertices


def _eye_colours(directions: np.ndarray, person: Person) -> np.ndarray:
    """Sclera, iris and pupil by the direction [P, 3] from the eye's centre."""
    off_axis = np.hypot(directions[:, 0], directions[:, 1])
    off_axis = np.where(directions[:, 2] > 0, off_axis, 1.0)[:, None]
    # Veins redden the corners.
    sclera = person.colours["sclera"] * (1 - 0.12 * off_axis * np.array([0.2, 1, 1]))
    rim = 1 - 0.55 * np.clip((off_axis - 0.8 * _IRIS_RADIUS) / (0.2 * _IRIS_RADIUS), 0, 1)
    iris = np.clip((_IRIS_RADIUS - off_axis) / 0.04 + 0.5, 0, 1)
    pupil = np.clip((_PUPIL_RADIUS - off_axis) / 0.03 + 0.5, 0, 1)
    colours = sclera + iris * (person.colours["iris"] * rim - sclera)
    return (colours * (1 - 0.93 * pupil)).astype(np.float32)


def _soft_coverage(covered: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 0.6)


def _filled(depth: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(depth), depth, np.float32(1e5)).astype(np.float32)


def _cast_shadow(depth: np.ndarray, direction: np.ndarray, scale: float) -> np.ndarray:
    """Share of the key light that reaches each pixel, [H, W]; `scale` is in px a mm.

    Walks over the depth map from each pixel towards the light: what rises above the ray, but is not
    far above it, is in its way. A perspective narrow enough to be taken as parallel.
    """
    height, width = depth.shape
    small = cv2.resize(_filled(depth), (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
    blocked = np.zeros_like(small)
    for reach in _SHADOW_REACH_MM:
        shift = 0.5 * scale * reach * direction[:2] * (1, -1)
        matrix = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float32)
        ahead = cv2.warpAffine(
            small, matrix, small.shape[::-1], flags=cv2.INTER_NEAREST, borderValue=1e5
        )
        # How far the surface there stands above the ray.
        above = small - reach * direction[2] - ahead
        hit = np.clip((above - 1.0 - 0.05 * reach) / (1.0 + 0.05 * reach), 0, 1)
        blocked = np.maximum(blocked, np.where(above < _SHADOW_THICKNESS_MM, hit, 0))
    blocked = cv2.GaussianBlur(blocked, (0, 0), 1.2)
    return 1 - 0.9 * cv2.resize(blocked, (width, height), interpolation=cv2.INTER_LINEAR)


def _ambient_occlusion(depth: np.ndarray, scale: float) -> np.ndarray:
    """Share of the surroundings' light at each pixel, [H, W]: less where the depth map is hollow."""
    height, width = depth.shape
    seen = np.isfinite(depth)
    reference = float(depth[seen].mean()) if seen.any() else 0.0
    flat = np.where(seen, depth - reference, 0).astype(np.float32)
    half = (width // 2, height // 2)
    small = cv2.resize(flat, half, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(seen.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    light = np.ones(depth.shape, np.float32)
    for sigma in _OCCLUSION_SIGMAS_MM:
        around = cv2.GaussianBlur(small, (0, 0), 0.5 * sigma * scale)
        around /= cv2.GaussianBlur(mask, (0, 0), 0.5 * sigma * scale) + 1e-6
        hollow = flat - cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
        light *= np.exp(-0.8 * np.clip(hollow / sigma, 0, 1.5))
    return light
