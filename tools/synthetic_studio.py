"""Synthetic people for the scripts that make gated data sets' layouts: heads, pictures, scans."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.rasterizer import interpolate, rasterize
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person, PersonSampler
from fml_tf.synthesis.picture import sample_background
from fml_tf.synthesis.renderer import Renderer
from fml_tf.synthesis.scene import HeadPose, Light

_DISTANCE_MM = 1200.0
# The scanner: a grid of this width, seen from far enough that its rays are parallel.
_SCAN_DISTANCE_MM, _SCAN_WIDTH_MM = 20000.0, 200.0
# Neighbours on the grid that lie so far apart in depth are not joined.
_LARGEST_STEP_MM = 6.0


class Studio:
    """Draws and scans people; each is a function of (seed, number).

    Args:
      seed: of the people.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self.head = HeadModel("4k")
        self._people, self._renderer = PersonSampler(self.head), Renderer(self.head)

    def person(self, number: int) -> Person:
        """The person of a number, without glasses to hide the face."""
        person = self._people.sample(np.random.default_rng((self._seed, number)))
        return dataclasses.replace(person, wears_glasses=False)

    def vertices(self, person: Person, expression: dict[str, float]) -> np.ndarray:
        """[V', 3] mm of the whole head; expression by ARKit name, "@" for Left and Right."""
        names = list(self.head.template.blendshape_names)
        activations = np.zeros(len(names), np.float32)
        for name, amount in expression.items():
            for side in ("Left", "Right") if "@" in name else ("",):
                activations[names.index(name.replace("@", side))] = amount
        return self.head.deform(person.neutral, activations, person.hair_volume, person.glasses)

    def photograph(
        self, person: Person, vertices: np.ndarray, yaw: float, camera: PerspectiveCamera
    ) -> tuple[np.ndarray, np.ndarray]:
        """A picture [H, W, 3] uint8 and where the vertices are in it, [V', 2] px.

        Args:
          person: whose colours to use.
          vertices: of `vertices`.
          yaw: degrees that the camera is to the person's left of the face.
          camera: 1.2 m away from the face's middle.
        """
        turn = Rotation.from_euler("y", -yaw, degrees=True)
        centre = vertices[self.head.template.landmark_vertices].mean(axis=0)
        pose = HeadPose(
            turn.as_rotvec().astype(np.float32),
            (np.array([0.0, 0.0, -_DISTANCE_MM]) - turn.apply(centre)).astype(np.float32),
        )
        key = np.array([0.3, 0.5, 0.8], np.float32)
        light = Light(
            (0.7 * ambient_illumination()).astype(np.float32),
            key / np.linalg.norm(key),
            np.full(3, 0.4, np.float32),
        )
        size = max(camera.width, camera.height)
        background = sample_background(np.random.default_rng(self._seed), size)
        background = background[: camera.height, : camera.width]
        picture, _ = self._renderer.draw(person, vertices, pose, light, camera, background)
        posed = pose.apply(vertices)
        scale = camera.focal_length_px / -posed[:, 2:]
        positions = np.array([camera.width, camera.height]) / 2 + scale * posed[:, :2] * (1, -1)
        return np.uint8(255 * np.clip(picture, 0, 1)), positions

    def scan(
        self, vertices: np.ndarray, spacing: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What a scanner in front of the face sees, as a mesh of its own tessellation.

        Args:
          vertices: of `vertices`.
          spacing: of the grid, mm.

        Returns:
          Vertices [N, 3], triangles [F, 3], and for each vertex the head's triangle [N] and the
          barycentric coordinates [N, 3] there.
        """
        size = round(_SCAN_WIDTH_MM / spacing)
        camera = PerspectiveCamera(size * _SCAN_DISTANCE_MM / _SCAN_WIDTH_MM, size, size)
        centre = vertices[self.head.template.landmark_vertices].mean(axis=0)
        posed = np.float32(vertices - centre - (0, 0, _SCAN_DISTANCE_MM))
        fragments = rasterize(posed, self.head.triangles, camera)
        points = interpolate(np.float32(vertices), self.head.triangles, fragments).numpy()
        ids = fragments.triangle_ids.numpy()
        chin = vertices[self.head.template.landmark_vertices[8], 1]
        seen = (ids >= 0) & (points[..., 1] > chin - 15) & (points[..., 2] > -30)
        number = np.where(seen, np.cumsum(seen).reshape(seen.shape) - 1, -1)
        depth = np.where(seen, points[..., 2], np.nan)
        a, b, c, d = (
            (rows, columns)
            for rows in (slice(None, -1), slice(1, None))
            for columns in (slice(None, -1), slice(1, None))
        )
        triangles = []
        for corners in ((a, c, b), (b, c, d)):
            steps = np.ptp([depth[corner] for corner in corners], axis=0)
            triangles.append(
                np.stack([number[corner] for corner in corners], axis=-1)[steps < _LARGEST_STEP_MM]
            )
        barycentrics = fragments.barycentrics.numpy()
        return points[seen], np.concatenate(triangles), ids[seen], barycentrics[seen]
