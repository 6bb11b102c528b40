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
# The scanner sees along the radii of an upright cylinder through the head, this far to the sides.
_SCAN_RADIUS_MM, _SCAN_DEGREES, _SCAN_HEIGHT_MM = 85.0, 80.0, 200.0
# A camera so far away that its rays are parallel.
_SCAN_DISTANCE_MM = 20000.0
# Neighbours on the grid that lie so far apart in depth are not joined.
_LARGEST_STEP_MM = 6.0


class Studio:
    """Draws and scans people; each is a function of (seed, number).

    Args:
      seed: of the people.
      resolution: of their heads.
    """

    def __init__(self, seed: int, resolution: str = "4k"):
        self._seed = seed
        self.head = HeadModel(resolution)
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
        """What a scanner that looks at the face from all sides sees: a separate mesh.

        Args:
          vertices: of `vertices`.
          spacing: of the grid, mm.

        Returns:
          Vertices [N, 3], triangles [F, 3], and for each vertex the three of the head that it lies
          between [N, 3] and its barycentric coordinates there [N, 3].
        """
        marks = vertices[self.head.template.landmark_vertices]
        axis = vertices[: self.head.template.num_vertices].mean(axis=0) * (1, 0, 1)
        x, y, z = (vertices - axis).T
        reach = np.radians(_SCAN_DEGREES) * _SCAN_RADIUS_MM
        angle = np.arctan2(x, z)
        unrolled = np.stack([_SCAN_RADIUS_MM * angle, y, np.hypot(x, z)], axis=1)
        unrolled -= (0, marks[:, 1].mean(), _SCAN_DISTANCE_MM)
        columns, rows = (round(length / spacing) for length in (2 * reach, _SCAN_HEIGHT_MM))
        camera = PerspectiveCamera(_SCAN_DISTANCE_MM / spacing, columns, rows)
        # Those at the back would reach from one end of the cylinder to the other.
        front = np.flatnonzero((np.abs(angle) < np.pi / 1.5)[self.head.triangles].all(axis=1))
        head = self.head.triangles[front]
        fragments = rasterize(np.float32(unrolled), head, camera)
        points = interpolate(np.float32(vertices), head, fragments).numpy()
        ids, barycentrics = fragments.triangle_ids.numpy(), fragments.barycentrics.numpy()
        seen = (ids >= 0) & (points[..., 1] > marks[8, 1] - 15)
        number = np.where(seen, np.cumsum(seen).reshape(seen.shape) - 1, -1)
        depth = np.where(seen, fragments.depth.numpy(), np.nan)
        a, b, c, d = (
            (down, across)
            for down in (slice(None, -1), slice(1, None))
            for across in (slice(None, -1), slice(1, None))
        )
        triangles = []
        for corners in ((a, c, b), (b, c, d)):
            steps = np.ptp([depth[corner] for corner in corners], axis=0)
            triangles.append(
                np.stack([number[corner] for corner in corners], axis=-1)[steps < _LARGEST_STEP_MM]
            )
        return points[seen], np.concatenate(triangles), head[ids[seen]], barycentrics[seen]
