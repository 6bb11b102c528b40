"""Pictures of scores: error heat maps, sheets of single cases, the cumulative curve."""

import io
from collections.abc import Mapping, Sequence

import cv2
import matplotlib
import matplotlib.figure
import numpy as np
import trimesh

from fml_tf.evaluation.predictions import SEVEN
from fml_tf.evaluation.protocols.base import ErrorMap
from fml_tf.files.images import to_bytes
from fml_tf.geometry.alignment import procrustes
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pictures import BACKGROUND, blend, clay
from fml_tf.rendering.rasterizer import interpolate, rasterize
from fml_tf.template.makehuman import load_makehuman

# A long lens at 2 m: hardly any perspective. The picture spans 270 mm.
_SIZE, _DISTANCE_MM, _SPAN_MM = 240, 2000.0, 270.0
_TITLE_HEIGHT = 22
_SUPERSAMPLING = 2
_COLOUR_MAP = matplotlib.colormaps["viridis"]
_UNMEASURED = 0.6  # grey


def error_colours(errors: np.ndarray, limit: float) -> np.ndarray:
    """Colours [V, 3] of errors [V] in mm from 0 to `limit`; grey where NaN."""
    colours = _COLOUR_MAP(np.clip(np.nan_to_num(errors) / limit, 0.0, 1.0))[:, :3]
    return np.where(np.isnan(errors)[:, None], _UNMEASURED, colours)


def render_mesh(
    vertices: np.ndarray, triangles: np.ndarray, colours: np.ndarray, yaw: float = 0.0
) -> np.ndarray:
    """Renders a mesh, lit as clay, from the front or turned about the vertical.

    Args:
      vertices: [V, 3] mm, model space (`frontal`).
      triangles: [F, 3].
      colours: [V, 3] in [0, 1].
      yaw: degrees; positive shows the face's right side.

    Returns:
      [240, 240, 3] uint8.
    """
    angle = np.radians(yaw)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    posed = np.float32(vertices @ turn.T - [0.0, -10.0, _DISTANCE_MM])
    size = _SUPERSAMPLING * _SIZE
    camera = PerspectiveCamera(size * _DISTANCE_MM / _SPAN_MM, size, size)
    normals = trimesh.Trimesh(posed, triangles, process=False).vertex_normals
    fragments = rasterize(posed, np.int32(triangles), camera)
    attributes = np.concatenate([colours, normals], axis=1).astype(np.float32)
    values = interpolate(attributes, np.int32(triangles), fragments).numpy()
    shown = np.float32(fragments.triangle_ids.numpy() >= 0)
    shaded = values[..., :3] * clay(values[..., 3:])
    coverage = cv2.resize(shown, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(shaded * shown[..., None], (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    picture /= np.maximum(coverage, 1e-6)[..., None]
    return to_bytes(blend(picture, coverage, np.full((_SIZE, _SIZE, 3), BACKGROUND)))


def frontal(error_map: ErrorMap) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of truth and of prediction, turned so that the face looks along +z, in mm.

    The seven landmarks are laid on those of the mean face.
    """
    template = load_makehuman("4k")
    target = template.mean_shape[template.landmark_vertices][SEVEN]
    view = procrustes(error_map.seven, target)
    return view.apply(error_map.truth_vertices), view.apply(error_map.vertices)


def case_sheet(images: Sequence[np.ndarray], error_map: ErrorMap, limit: float) -> np.ndarray:
    """Pictures of one scored case: its frames, truth and prediction as clay, the error.

    Args:
      images: [H, W, 3] uint8 frames; at most four are shown.
      error_map: of its score.
      limit: mm at which the colours end.

    Returns:
      [524, 960, 3] uint8: above the frames, below truth, prediction, error from front and side.
    """
    truth, predicted = frontal(error_map)
    grey = np.full_like(truth, 0.85), np.full_like(predicted, 0.85)
    colours = error_colours(error_map.errors, limit)
    scale = f"error, 0 (dark) to {limit:g} mm"
    pictures = [
        titled(render_mesh(truth, error_map.truth_triangles, grey[0]), "truth"),
        titled(render_mesh(predicted, error_map.triangles, grey[1]), "prediction"),
        titled(render_mesh(truth, error_map.truth_triangles, colours), scale),
        titled(render_mesh(truth, error_map.truth_triangles, colours, 40.0), "from the side"),
    ]
    frames = [titled(_fitted(image), "input") for image in images[: len(pictures)]]
    blank = np.full_like(pictures[0], 255)
    frames += [blank] * (len(pictures) - len(frames))
    return np.concatenate([np.concatenate(frames, 1), np.concatenate(pictures, 1)])


def colour_sheet(pictures: Mapping[str, np.ndarray], limit: float = 50.0) -> np.ndarray:
    """What a model made of one frame's colours, where no shape is scored.

    Args:
      pictures: of `render_frame_pictures`.
      limit: photometric error in [0, 255] at which the colours end.

    Returns:
      [524, 720, 3] uint8: above input, overlay and their difference, below albedo, shading and
      geometry.
    """
    difference = np.abs(pictures["overlay"].astype(float) - pictures["input"]).mean(axis=-1)
    colours = to_bytes(error_colours(difference.reshape(-1), limit))
    title = f"difference, 0 (dark) to {limit:g}"
    shown = {
        "input": pictures["input"],
        "overlay": pictures["overlay"],
        title: colours.reshape(pictures["input"].shape),
        **{name: pictures[name] for name in ("albedo", "shading", "geometry")},
    }
    tiles = [titled(_fitted(picture), name) for name, picture in shown.items()]
    return np.concatenate([np.concatenate(tiles[:3], 1), np.concatenate(tiles[3:], 1)])


def heat_maps(means: Mapping[str, np.ndarray], limit: float) -> np.ndarray:
    """Mean error of each method on the mean face of the "4k" template, from front and side.

    Args:
      means: by method, [V] mm, NaN where not measured.
      limit: mm at which the colours end.

    Returns:
      [502, 240·methods, 3] uint8.
    """
    template = load_makehuman("4k")
    columns = []
    for name, errors in means.items():
        colours = error_colours(errors, limit)
        views = [
            render_mesh(template.mean_shape, template.triangles, colours, yaw) for yaw in (0, 40)
        ]
        columns.append(
            np.concatenate([titled(views[0], f"{name}, 0 (dark) to {limit:g} mm"), views[1]])
        )
    return np.concatenate(columns, axis=1)


def cumulative_curve(distances: Mapping[str, np.ndarray], limit: float) -> bytes:
    """The share of points within a distance, a curve for each method; PNG.

    Args:
      distances: by method, [P] mm.
      limit: mm at which the axis ends.
    """
    figure = matplotlib.figure.Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    thresholds = np.linspace(0, limit, 400)
    for name, values in distances.items():
        share = np.searchsorted(np.sort(values), thresholds, side="right") / len(values)
        axes.plot(thresholds, 100 * share, label=name, linewidth=1.4)
    axes.set(xlabel="error, mm", ylabel="points, %", xlim=(0, limit), ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def _fitted(image):
    """The image in a square, its longer side filling it."""
    scale = _SIZE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    square = np.full((_SIZE, _SIZE, 3), 255, np.uint8)
    square[: image.shape[0], : image.shape[1]] = image
    return square


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture [H, W, 3] uint8 under a strip with its title, [H + 22, W, 3]."""
    strip = np.full((_TITLE_HEIGHT, picture.shape[1], 3), 255, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, title, (6, 15), font, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])
