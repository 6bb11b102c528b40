"""The meshes of a synthetic head: skin, eyes, teeth and tongue, a neck and glasses, as one mesh."""

import dataclasses
import itertools

import cv2
import numpy as np

from fml_tf.geometry.smooth_fields import SymmetricFields
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.synthesis.canvas import Canvas
from fml_tf.synthesis.population import SMOOTH_CHANGES, SMOOTH_SIGNS, Identity
from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.makehuman import load_identity_assets, load_makehuman

# Rings that continue the skin's lower border into neck and shoulders: how far below the border
# (mm), how much wider across and in depth, and how much clothed. Many, since the rasteriser is slow
# at slanted triangles.
_NECK_PROFILE = np.array(
    [
        [0, 1.0, 1.0, 0],
        [18, 1.0, 1.0, 0],
        [42, 1.06, 1.05, 0],
        [58, 1.3, 1.2, 1],
        [78, 2.4, 1.5, 1],
        [120, 3.2, 1.8, 1],
    ]
)
_NECK_RINGS = np.stack(
    [
        np.interp([10, 20, 30, 40, 46, 52, 57, 62, 67, 72, 78, 90, 105, 120], *columns)
        for columns in ((_NECK_PROFILE[:, 0], values) for values in _NECK_PROFILE.T)
    ],
    axis=1,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """What a vertex is made of; one each [V'] float32 in [0, 1], the rest is plain colour.

    Attributes:
      skin: painted with the canvas.
      eye: painted as an eye, by `HeadModel.eye_directions`.
      mouth: inside of the mouth, and of the nostrils.
      teeth, cloth, frame: teeth; clothes; glasses.
    """

    skin: np.ndarray
    eye: np.ndarray
    mouth: np.ndarray
    teeth: np.ndarray
    cloth: np.ndarray
    frame: np.ndarray


class HeadModel:
    """All meshes of a head at one resolution: V' vertices, the first V those of the template.

    Attributes:
      template: the face template.
      canvas: where its albedo is painted.
      triangles: [F', 3] int32 without glasses; `glasses_triangles` come on top.
      material: of the vertices.
      eye_directions: [V', 3] float32 unit vectors from the centre of an eye at rest; else 0.
      canvas_points: [V', 2] float32.
    """

    def __init__(self, resolution: str):
        self.template: FaceTemplate = load_makehuman(resolution)
        self._assets = load_identity_assets(resolution)
        self.target_names = self._assets.target_names
        template, parts = self.template, self._assets.accessories
        self.canvas = Canvas(template.mean_shape, self._assets.feature_points)

        starts = np.cumsum([template.num_vertices] + [len(part.mean_shape) for part in parts])
        self._part_rows = {
            part.name: slice(start, start + len(part.mean_shape))
            for part, start in zip(parts, starts)
        }
        self._means = {
            name: np.concatenate([mean] + [part.means[name] for part in parts])
            for name, mean in self._assets.means.items()
        }
        points = np.concatenate([template.mean_shape, *(part.mean_shape for part in parts)])
        self._fields = SymmetricFields(points, SMOOTH_CHANGES)
        self._targets = _flat(
            [self._assets.target_displacements] + [part.target_displacements for part in parts]
        )
        self._blendshapes = _flat([template.blendshapes] + [part.blendshapes for part in parts])

        self._loop = _lower_border(template.triangles, template.mean_shape)
        neck_start, count = int(starts[-1]), len(self._loop)
        glasses_start = neck_start + count * len(_NECK_RINGS)
        glasses, glasses_triangles = _glasses(template.mean_shape[template.landmark_vertices])
        self.num_vertices = glasses_start + len(glasses)
        self.triangles = np.concatenate(
            [template.triangles]
            + [part.triangles + start for part, start in zip(parts, starts)]
            + [_neck_triangles(self._loop, neck_start)]
        ).astype(np.int32)
        self.glasses_triangles = (glasses_triangles + glasses_start).astype(np.int32)

        self.canvas_points = np.zeros((self.num_vertices, 2), np.float32)
        self.canvas_points[: template.num_vertices] = self._skin_points()
        self.eye_directions = np.zeros((self.num_vertices, 3), np.float32)
        for part in parts:
            if part.name.startswith("eye"):
                offset = part.mean_shape - part.mean_shape.mean(axis=0)
                offset /= np.linalg.norm(offset, axis=1, keepdims=True)
                self.eye_directions[self._part_rows[part.name]] = offset
        self.material = self._material(neck_start, glasses_start)

    def _skin_points(self) -> np.ndarray:
        """[V, 2] canvas points of the template, with the ears on the cheeks before them.

        Seen from the axis of the cylinder ears lie on the hair behind them.
        """
        points = self.canvas.vertex_points.copy()
        ears = self._targets[self.target_names.index("ear-wing-incr")].reshape(-1, 3)
        moved = np.linalg.norm(ears[: len(points)], axis=1)
        ears = moved > 0.15 * moved.max()
        for landmark, sign in ((0, -1), (16, 1)):
            s, y = self.canvas.landmarks[landmark]
            side = ears & (sign * points[:, 0] > 0)
            points[side, 0] = np.clip(points[side, 0], *sorted((0.6 * s, 0.85 * s)))
            points[side, 1] = np.clip(points[side, 1], y - 30, y)
        return points

    def _material(self, neck_start: int, glasses_start: int) -> Material:
        masks = {
            field.name: np.zeros(self.num_vertices, np.float32)
            for field in dataclasses.fields(Material)
        }
        skin = masks["skin"]
        skin[: self.template.num_vertices] = 1 - _hidden_inside(self.template)
        masks["mouth"][: self.template.num_vertices] = 1 - skin[: self.template.num_vertices]
        for name, rows in self._part_rows.items():
            kind = "eye" if name.startswith("eye") else "teeth" if "teeth" in name else "mouth"
            masks[kind][rows] = 1
        clothed = np.repeat(_NECK_RINGS[:, 3], len(self._loop))
        masks["cloth"][neck_start:glasses_start] = clothed
        skin[neck_start:glasses_start] = 1 - clothed
        # The neck has the colour of the skin below beards.
        chin = self.canvas.landmarks[8, 1]
        border = np.minimum(self.canvas_points[self._loop], (np.inf, chin - 42))
        self.canvas_points[neck_start:glasses_start] = np.tile(border, (len(_NECK_RINGS), 1))
        masks["frame"][glasses_start:] = 1
        return Material(**masks)

    def neutral(self, identity: Identity) -> np.ndarray:
        """Neutral shape of skin, eyes, teeth and tongue, [V'', 3] float32 mm."""
        shape = sum(w * mean for w, mean in zip(identity.mean_weights, self._means.values()))
        change = np.asarray(identity.target_weights, np.float32) @ self._targets
        change = change.reshape(shape.shape)
        change = change + self._fields.field(identity.smooth_heights, SMOOTH_SIGNS)
        return (identity.size * (shape + change)).astype(np.float32)

    def glasses(self, neutral: np.ndarray) -> np.ndarray:
        """Vertices of glasses that fit a neutral shape [V'', 3], model space, mm."""
        return _glasses(neutral[self.template.landmark_vertices])[0]

    def albedo(self, texture: np.ndarray, mouth: np.ndarray) -> np.ndarray:
        """Albedo [V, 3] float32 of the template's vertices, in [0, 1].

        Args:
          texture: [H, W, 3] sRGB on the canvas.
          mouth: [3] sRGB, the colour of what is inside of the mouth.
        """
        count = self.template.num_vertices
        # Blurred about as much as coarse vertices average over.
        blurred = cv2.GaussianBlur(texture, (0, 0), 1.5)
        skin = self.material.skin[:count, None]
        painted = self.canvas.sample(blurred, self.canvas_points[:count])
        return np.clip(skin * painted + (1 - skin) * mouth, 0, 1).astype(np.float32)

    def deform(
        self,
        neutral: np.ndarray,
        activations: np.ndarray,
        hair_volume: np.ndarray,
        glasses: np.ndarray,
    ) -> np.ndarray:
        """Vertices of the whole head with an expression, model space.

        Args:
          neutral: [V'', 3] mm, of `neutral`.
          activations: [K] of the template's blendshapes.
          hair_volume: [V, 3] mm, displacement of the skin by the hair on it.
          glasses: of `glasses`; they do not move with the expression.

        Returns:
          [V', 3] float32 mm.
        """
        shape = neutral + (activations @ self._blendshapes).reshape(neutral.shape)
        shape[: self.template.num_vertices] += hair_volume
        border = shape[self._loop]
        centre = border.mean(axis=0)
        rings = [
            (border - centre) * (across, 1 - 0.75 * clothed, depth) + centre - (0, down, 0)
            for down, across, depth, clothed in _NECK_RINGS
        ]
        return np.concatenate([shape, *rings, glasses]).astype(np.float32)


def _flat(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts, axis=1)
    return joined.reshape(len(joined), -1)


def _hidden_inside(template: FaceTemplate) -> np.ndarray:
    """[V] float32: 1 inside mouth, nostrils and eye sockets of the mean face, 0 on outer skin."""
    size, distance = 512, 4000.0
    camera = PerspectiveCamera(size * distance / 260.0, size, size)
    positions = template.mean_shape - np.array([0, 0, distance], np.float32)
    depth = rasterize(positions, template.triangles, camera).depth.numpy()
    scale = camera.focal_length_px / -positions[:, 2]
    column = np.clip(size / 2 + scale * positions[:, 0], 0, size - 1).astype(int)
    row = np.clip(size / 2 - scale * positions[:, 1], 0, size - 1).astype(int)
    behind = -positions[:, 2] - depth[row, column]
    chin = template.mean_shape[template.landmark_vertices[8], 1]
    in_front = (template.mean_shape[:, 2] > -20) & (np.abs(template.mean_shape[:, 0]) < 45)
    below_brows = (template.mean_shape[:, 1] < 20) & (template.mean_shape[:, 1] > chin + 15)
    inside = np.where(in_front & below_brows, np.clip((behind - 3.5) / 3.0, 0, 1), 0)
    return np.nan_to_num(inside, posinf=0.0, neginf=0.0).astype(np.float32)


def _lower_border(triangles: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The lowest border of a mesh as a closed loop of vertices, in the triangles' direction."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed = set(map(tuple, sides.tolist()))
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        loop = [next(iter(following))]
        while loop[-1] in following:
            loop.append(following.pop(loop[-1]))
        loops.append(np.array(loop[:-1]))
    return min(loops, key=lambda loop: positions[loop, 1].mean())


def _neck_triangles(loop: np.ndarray, start: int) -> np.ndarray:
    count = len(loop)
    rings = [loop, *(start + k * count + np.arange(count) for k in range(len(_NECK_RINGS)))]
    triangles = []
    for upper, lower in itertools.pairwise(rings):
        a, b, c, d = upper, np.roll(upper, -1), np.roll(lower, -1), lower
        triangles += [np.stack([b, a, d], axis=1), np.stack([b, d, c], axis=1)]
    return np.concatenate(triangles)


def _tube(path: np.ndarray, radius: float, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """A hexagonal tube along a path [P, 3] mm: its vertices and triangles."""
    sides, count = 6, len(path)
    along = np.gradient(path, axis=0)
    if closed:
        along = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, (0.3, 0.2, 0.93))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    third = np.cross(along, across)
    angle = 2 * np.pi * np.arange(sides) / sides
    rim = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * third[:, None]
    vertices = (path[:, None] + radius * rim).reshape(-1, 3)
    step, side = np.meshgrid(np.arange(count if closed else count - 1), np.arange(sides))
    step, side = step.ravel(), side.ravel()
    following, neighbour = (step + 1) % count, (side + 1) % sides
    a, b = step * sides + side, step * sides + neighbour
    c, d = following * sides + neighbour, following * sides + side
    return vertices, np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)])


def _glasses(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rims, bridge and temples in front of the eyes of landmarks [66, 3] mm, model space."""
    bridge = landmarks[28]
    front = bridge[2] + 5
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    tubes = []
    for eye, ear, sign in (
        (landmarks[36:42], landmarks[0], -1),
        (landmarks[42:48], landmarks[16], 1),
    ):
        centre = eye.mean(axis=0) + (0, -3, 0)
        # A superellipse, curved back a little towards the temples.
        cos, sin = np.cos(angle), np.sin(angle)
        x = 24 * np.sign(cos) * np.abs(cos) ** 0.7
        y = 17 * np.sign(sin) * np.abs(sin) ** 0.7
        z = front - 0.012 * np.maximum(sign * (centre[0] + x), 0) ** 1.6
        tubes.append(_tube(np.stack([centre[0] + x, centre[1] + y, z], 1), 1.3, closed=True))
        hinge = np.array([centre[0] + 24 * sign, centre[1] + 8, z.min()])
        # The temple passes outside of the head to the ear.
        behind = np.array([ear[0] + 12 * sign, centre[1] + 6, -40.0])
        steps = np.linspace(0, 1, 8)[:, None]
        tubes.append(
            _tube(hinge + steps * (behind - hinge) + (2.0 * sign, 0, 0), 1.2, closed=False)
        )
        inner = np.array(
            [[sign * 4.0, centre[1] + 6, front], [sign * 0.0, centre[1] + 7, front + 1]]
        )
        nose_end = np.array([[centre[0] - 24 * sign, centre[1] + 4, front]])
        tubes.append(_tube(np.concatenate([nose_end, inner]), 1.2, closed=False))
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in tubes[:-1]])
    triangles = np.concatenate([t + offset for (_, t), offset in zip(tubes, offsets)])
    return np.concatenate([vertices for vertices, _ in tubes]), triangles
