"""Pictures of a head: diffuse light of equation (7), and what our model does not have.

Beyond the model: a key light that casts shadows and whose highlights follow Blinn and Phong,
ambient occlusion, eyes, teeth, hair. Colours are multiplied in sRGB, as in the model, so that the
albedo is that of equation (7).
"""

import cv2
import numpy as np
import scipy.sparse
import tensorflow as tf

from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person
from fml_tf.synthesis.scene import HeadPose, Light

# Sines of the angle from the eye's axis; irises are 11.7 mm wide [Rüfer et al. 2005].
_IRIS_RADIUS, _PUPIL_RADIUS = 0.39, 0.17
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
                (material.eye + 0.4 * material.teeth + 0.6 * material.frame)[:, None],
            ],
            axis=1,
        )
        self._shading_basis = tf.function(self._normals_and_harmonics, reduce_retracing=True)
        self._rasterizers = {}

    def _normals_and_harmonics(self, vertices):
        """Normals [V', 3] and their spherical harmonics [V', 9] of vertices [V', 3]."""
        normals = vertex_normals(vertices[:, :, None], self._one_ring)
        return normals[:, :, 0], spherical_harmonics(normals)[:, :, 0]

    def _rasterize(self, vertices, triangles, camera):
        """Fragments, and the triangles that face the camera, to which they refer."""
        # The camera is baked into the graph but for the focal length, which scales x and y alike.
        size = (camera.width, camera.height)
        if size not in self._rasterizers:
            fixed = PerspectiveCamera(camera.width, camera.width, camera.height)
            self._rasterizers[size] = tf.function(
                lambda v, t: rasterize(v, t, fixed), reduce_retracing=True
            )
        scale = np.array([camera.focal_length_px / camera.width] * 2 + [1], np.float32)
        # Half of the triangles face away; leaving them out beforehand saves half of the tests.
        flat = vertices[:, :2] / -vertices[:, 2:]
        first, second, third = (flat[triangles[:, k]] for k in range(3))
        (ax, ay), (bx, by) = (second - first).T, (third - first).T
        triangles = triangles[ax * by > ay * bx]
        fragments = self._rasterizers[size](tf.constant(vertices * scale), tf.constant(triangles))
        return fragments, triangles

    def draw(
        self,
        person: Person,
        vertices: np.ndarray,
        pose: HeadPose,
        light: Light,
        camera: PerspectiveCamera,
        background: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws one frame.

        Args:
          person: whose colours to use.
          vertices: [V', 3] mm, model space, of `HeadModel.deform`.
          pose: of the head.
          light: in camera space.
          camera: W x H.
          background: [H, W, 3] float32.

        Returns:
          Picture [H, W, 3] float32, not clipped, and depth [H, W] mm, infinite on the background.
        """
        posed = pose.apply(vertices)
        fragments, triangles = self._rasterize(posed, self._triangles[person.wears_glasses], camera)
        depth = fragments.depth.numpy()
        triangle_ids = fragments.triangle_ids.numpy()
        covered = triangle_ids >= 0
        # Row p holds the barycentrics of pixel p in the columns of its triangle's vertices.
        interpolation = scipy.sparse.csr_array(
            (
                fragments.barycentrics.numpy()[covered].ravel(),
                triangles[triangle_ids[covered]].ravel(),
                np.arange(0, 3 * covered.sum() + 1, 3),
            ),
            shape=(covered.sum(), len(vertices)),
        )
        normals, bands = (values.numpy() for values in self._shading_basis(tf.constant(posed)))
        plain = sum(
            getattr(self._head.material, kind)[:, None] * person.colours[kind].astype(np.float32)
            for kind in self._kinds
        )
        attributes = [normals, bands @ light.ambient, plain, self._static]
        pixels = interpolation @ np.concatenate(attributes, axis=1)
        normals, ambient, albedo, points, eye, skin, is_eye, shine = np.split(
            pixels, [3, 6, 9, 11, 14, 15, 16], axis=1
        )
        normals = normals / (np.sqrt(np.sum(normals**2, axis=1, keepdims=True)) + 1e-9)
        albedo = albedo + skin * self._head.canvas.sample(person.seen_texture, points)
        on_eye = is_eye[:, 0] > 0
        albedo[on_eye] += is_eye[on_eye] * _eye_colours(eye[on_eye], person)

        scale = camera.focal_length_px / -float(pose.translation[2])  # px a mm
        shadow = _cast_shadow(depth, light.key_direction, scale)[covered][:, None]
        occlusion = _ambient_occlusion(depth, scale)[covered][:, None]
        towards_light = (normals @ light.key_direction)[:, None]
        diffuse = np.maximum(towards_light, 0) * shadow * np.sqrt(occlusion) * light.key_colour
        occlusion = occlusion ** (1 - 0.6 * is_eye)  # The depth map is hollow there, but wet.
        colours = albedo * (np.maximum(ambient, 0.02) * occlusion + diffuse)

        # Parallel rays are near enough for highlights.
        half = light.key_direction + np.array([0, 0, 1], np.float32)
        alignment = np.maximum(normals @ (half / np.linalg.norm(half)), 0)[:, None]
        highlight = person.gloss * skin * alignment**person.gloss_exponent + shine * alignment**150
        colours += highlight * np.clip(4 * towards_light, 0, 1) * shadow * light.key_colour

        drawn = np.zeros_like(background)
        drawn[covered] = colours
        # Colours reach over the edge, so that it can be blended without darkening.
        share = covered.astype(np.float32)
        around = cv2.blur(drawn, (3, 3)) / np.maximum(cv2.blur(share, (3, 3)), 1e-6)[..., None]
        drawn = np.where(covered[..., None], drawn, around)
        opacity = cv2.GaussianBlur(share, (0, 0), 0.6)[..., None]
        return background + opacity * (drawn - background), depth


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
    """Share of the surroundings' light at each pixel, [H, W]: less in hollows of the depth map."""
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
        hollow = np.maximum(hollow / sigma, 0)
        # What lies far behind its surroundings is another surface, such as an ear.
        light *= np.exp(-0.6 * np.minimum(hollow, 1.5) * np.clip((3.5 - hollow) / 2, 0, 1))
    return light
