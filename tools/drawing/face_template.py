r"""Draws what the open face template holds, to be checked by eye after it is rebuilt.

    python -m tools.drawing.face_template --output_dir=DIR

Writes means.png, landmarks.png (with the vertices over which the contour slides), regions.png,
units.png (all blendshapes at 1) and identity.png (all identity targets at 1).
"""

import cv2
import numpy as np
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.files.folders import probe_directory
from fml_tf.geometry.normals import build_one_ring, vertex_normals
from fml_tf.rendering.camera import PerspectiveCamera, project
from fml_tf.rendering.rasterizer import interpolate, rasterize
from fml_tf.template.bare_skin import bare_skin
from fml_tf.template.makehuman import load_identity_assets, load_makehuman, mean_names

_OUTPUT = flags.DEFINE_string("output_dir", None, "Where the pictures go.", required=True)
_RESOLUTION = flags.DEFINE_string("resolution", "16k", "Resolution of the template.")

SKIN = (0.85, 0.68, 0.58)
EYE, IRIS = (0.95, 0.95, 0.95), (0.25, 0.18, 0.1)
TOOTH, TONGUE = (0.9, 0.88, 0.82), (0.75, 0.4, 0.4)
DISTANCE_MM, FOCAL_LENGTH = 700.0, 3.4  # of crop widths
CENTRE = np.array([0.0, -25.0, 20.0])
REGION_COLOURS = {
    "face": (0.75, 0.75, 0.75),
    "skin": (0.95, 0.75, 0.6),
    "lips": (0.8, 0.2, 0.25),
    "brows": (0.3, 0.2, 0.1),
    "eyelids": (0.3, 0.5, 0.9),
}
BARE_SKIN_COLOUR = (0.55, 0.8, 0.4)
LANDMARK_NUMBERS = [i for i in range(68) if i not in (60, 64)]


class Painter:
    """Renders the head with its eyes, teeth and tongue."""

    def __init__(self, resolution: str):
        self.template = load_makehuman(resolution)
        self.identity = load_identity_assets(resolution)
        self.accessories = {a.name: a for a in self.identity.accessories}
        meshes = [self.template, *self.identity.accessories]
        starts = np.cumsum([0] + [len(mesh.mean_shape) for mesh in meshes])
        self.triangles = np.concatenate(
            [mesh.triangles + start for mesh, start in zip(meshes, starts)]
        ).astype(np.int32)
        self.one_ring = build_one_ring(self.triangles, starts[-1])

    def shape(self, mean: str = "average", unit=None, target=None) -> np.ndarray:
        """[V + accessories, 3] mm: a mean, plus a blendshape or an identity target at 1."""
        template, parts = self.template, self.identity.accessories
        if mean == "average":
            shapes = [template.mean_shape] + [part.mean_shape for part in parts]
        else:
            shapes = [self.identity.means[mean]] + [part.means[mean] for part in parts]
        shape = np.concatenate(shapes)
        if unit is not None:
            changes = [template.blendshapes[unit]] + [part.blendshapes[unit] for part in parts]
            shape += np.concatenate(changes)
        if target is not None:
            changes = [self.identity.target_displacements[target]]
            changes += [part.target_displacements[target] for part in parts]
            shape += np.concatenate(changes)
        return shape

    def colours(self, head=SKIN) -> np.ndarray:
        """[V + accessories, 3] RGB; `head` is one colour or one per vertex."""
        colours = [np.broadcast_to(head, self.template.mean_shape.shape)]
        for name, part in self.accessories.items():
            plain = TONGUE if name == "tongue" else TOOTH if name.startswith("teeth") else EYE
            colour = np.tile(plain, (len(part.mean_shape), 1))
            if name.startswith("eye"):
                pole = part.mean_shape[part.mean_shape[:, 2].argmax()]
                colour[np.linalg.norm(part.mean_shape - pole, axis=1) < 6] = IRIS
            colours.append(colour)
        return np.concatenate(colours)

    def paint(self, shape, colours, size, yaw=0.0, pitch=0.0, zoom=1.0, centre=CENTRE):
        """Picture [size, size, 3] uint8 BGR, and of each vertex its pixel and if it is hidden."""
        camera = PerspectiveCamera(FOCAL_LENGTH * zoom * size, size, size)
        yaw, pitch = np.radians([yaw, pitch])
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        points = (shape - centre) @ (nod @ turn).T - [0, 0, DISTANCE_MM]
        points = points.astype(np.float32)
        normals = vertex_normals(points[..., None], self.one_ring).numpy()[..., 0]
        light = 0.25 + 0.75 * np.clip(normals @ np.array([0.3, 0.4, 0.87]), 0, 1)
        fragments = rasterize(points, self.triangles, camera)
        shaded = (colours * light[:, None]).astype(np.float32)
        picture = interpolate(shaded, self.triangles, fragments).numpy()
        picture[fragments.triangle_ids.numpy() < 0] = 1
        picture = np.round(255 * np.clip(picture[..., ::-1], 0, 1)).astype(np.uint8)
        pixels = project(points[..., None], camera).numpy()[..., 0]
        depth = fragments.depth.numpy()
        column, row = np.clip(pixels.astype(int), 0, size - 1).T
        hidden = -points[:, 2] > depth[row, column] + 2
        return picture, pixels, hidden


def label(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text at its top."""
    return cv2.putText(
        picture.copy(), text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (90, 0, 0), 1, cv2.LINE_AA
    )


def sheet(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows."""
    blank = np.full_like(pictures[0], 255)
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return np.vstack(rows)


def draw_means(painter: Painter) -> np.ndarray:
    """All means, from the front and from the side."""
    pictures = []
    for name in mean_names():
        views = [
            painter.paint(painter.shape(name), painter.colours(), 300, yaw)[0] for yaw in (0, 60)
        ]
        pictures.append(label(np.hstack(views), name))
    return sheet(pictures, 3)


def draw_landmarks(painter: Painter) -> np.ndarray:
    """Numbered landmarks (grey where hidden) and the contour's candidates from several sides."""
    template = painter.template
    landmarks = template.mean_shape[template.landmark_vertices]
    eyes, mouth = landmarks[36:48].mean(axis=0), landmarks[48:66].mean(axis=0)
    views = [
        dict(),
        dict(yaw=35),
        dict(yaw=70),
        dict(pitch=-35),
        dict(zoom=2.2, centre=eyes),
        dict(zoom=3.2, centre=mouth),
    ]
    pictures = []
    for view in views:
        picture, pixels, hidden = painter.paint(painter.shape(), painter.colours(), 900, **view)
        for number, chain in enumerate(template.contour_candidates):
            colour = (0, 160, 0) if number % 2 else (200, 120, 0)
            for place in pixels[np.unique(chain)].astype(int).tolist():
                cv2.circle(picture, place, 2, colour, -1)
        for number, vertex in zip(LANDMARK_NUMBERS, template.landmark_vertices):
            place = tuple(pixels[vertex].astype(int).tolist())
            cv2.circle(picture, place, 3, (150, 150, 150) if hidden[vertex] else (0, 0, 255), -1)
            cv2.putText(
                picture,
                str(number),
                (place[0] + 4, place[1] - 3),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.42,
                (160, 0, 0),
                1,
                cv2.LINE_AA,
            )
        pictures.append(picture)
    return sheet(pictures, 3)


def draw_regions(painter: Painter) -> np.ndarray:
    """One colour a region and one for bare skin, over grey for the face and dark for the rest."""
    colours = np.tile((0.35, 0.35, 0.35), (painter.template.num_vertices, 1))
    for name, colour in REGION_COLOURS.items():
        colours[painter.template.regions[name]] = colour
    colours[bare_skin(painter.template)] = BARE_SKIN_COLOUR
    colours = painter.colours(colours)
    views = [dict(), dict(yaw=60), dict(pitch=-40), dict(zoom=2.2, centre=CENTRE + [0, 40, 40])]
    return sheet([painter.paint(painter.shape(), colours, 800, **v)[0] for v in views], 2)


def draw_units(painter: Painter) -> np.ndarray:
    """Every blendshape at 1."""
    colours = painter.colours()
    names = painter.template.blendshape_names
    return sheet(
        [
            label(painter.paint(painter.shape(unit=k), colours, 260)[0], name)
            for k, name in enumerate(names)
        ],
        9,
    )


def draw_identity(painter: Painter) -> np.ndarray:
    """Every identity target at 1, from half the side."""
    colours = painter.colours()
    names = painter.identity.target_names
    return sheet(
        [
            label(painter.paint(painter.shape(target=k), colours, 200, yaw=25)[0], name)
            for k, name in enumerate(names)
        ],
        14,
    )


def main(_):
    """Draws everything."""
    with one_line_errors("face_template"):
        folder = probe_directory(_OUTPUT.value)
        painter = Painter(_RESOLUTION.value)
        folder.mkdir(parents=True, exist_ok=True)
        for draw in (draw_means, draw_landmarks, draw_regions, draw_units, draw_identity):
            path = folder / f"{draw.__name__.removeprefix('draw_')}.png"
            write_image(path, draw(painter)[..., ::-1])
            print(path)


if __name__ == "__main__":
    app.run(main)
