"""Videos of reconstructed faces: laid over every frame of their own, or driven by another."""

import itertools
import os
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from fml_tf.files.images import to_bytes
from fml_tf.files.video import Frame
from fml_tf.files.video_writer import write_video
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.reconstruction.inputs import VideoScan, read_video
from fml_tf.reconstruction.reconstruction import Follower
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pictures import BACKGROUND, blend, render_face
from fml_tf.structures import FaceParameters

# Frames that go through the network together, beside those of the identity.
_CHUNK = 16
# Faces that are larger in the source are rendered at this size, px, and scaled up: time grows with
# the area, and colours between vertices hold no finer detail.
_MAX_RENDER_SIZE = 360


def write_overlay_video(
    path: str | os.PathLike, model: FaceReconstructor, scan: VideoScan, follower: Follower
) -> None:
    """Writes an H.264 video of the source's size with the face over every frame, at its time.

    The identity is the follower's; pose, expression and light are each frame's own.
    Frames in which no face was found stay as they are. Sides of an odd number of pixels, which
    H.264 (4:2:0) cannot have, grow by one. Where the size of the source's pictures changes midway,
    they are fitted into the size of the first. Sound is not kept.

    Args:
      path: of the .mp4 file.
      model: the model.
      scan: of the source video.
      follower: regresses its frames.

    Raises:
      NotWrittenError: it cannot be written to its end.
    """
    frames = _overlay_frames(model, scan, follower)
    first = next(frames)
    size = first.image.shape[1::-1]
    write_video(
        path, ((f.seconds, _fitted(f.image, size)) for f in itertools.chain([first], frames))
    )


def write_driven_video(
    path: str | os.PathLike,
    model: FaceReconstructor,
    edit: Callable[[FaceParameters], FaceParameters],
    scan: VideoScan,
    follower: Follower,
) -> None:
    """Writes a video of two pictures side by side: the driver's crop, and the face it drives.

    Both are of the crop's size. Frames in which the driver has no face are left out; the one before
    them is shown on.

    Args:
      path: of the .mp4 file.
      model: the model.
      edit: makes the driven face's parameters of the driver's, such as `edits.drive` for a person.
      scan: of the driver's video.
      follower: regresses its frames.
    """
    background = np.full((model.camera.height, model.camera.width, 3), BACKGROUND, np.float32)

    def draw(frame, vertices, colours):
        crop = crop_image(frame.image, scan.transforms[frame.number])
        picture, coverage = render_face(
            vertices, colours, model.template, model.camera, model.backend
        )
        driven = to_bytes(blend(picture, coverage, background))
        return np.concatenate([crop, driven], axis=1)

    frames = _draw_faces(model, scan, follower, draw, edit)
    write_video(path, ((f.seconds, f.image) for f in frames if f.number in scan.transforms))


def _fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture as large as fits into (width, height), amid black."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    inside = (round(scale * width), round(scale * height))
    left, top = (size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    fitted[top : top + inside[1], left : left + inside[0]] = cv2.resize(image, inside)
    return fitted


def place_overlay(
    image: np.ndarray,
    vertices: np.ndarray,
    colours: np.ndarray,
    transform: CropTransform,
    model: FaceReconstructor,
) -> np.ndarray:
    """Renders a face into the full source image at its crop's place.

    Args:
      image: [H, W, 3] uint8 RGB.
      vertices: [V, 3] mm, camera space of the crop.
      colours: [V, 3] sRGB.
      transform: from source to crop px.
      model: gives template and camera.

    Returns:
      [H, W, 3] uint8.
    """
    width = transform.source_width
    size = min(width, _MAX_RENDER_SIZE)
    focal_length_px = model.camera.focal_length_px * size / model.camera.width
    camera = PerspectiveCamera(focal_length_px, size, size)
    picture, coverage = render_face(vertices, colours, model.template, camera, model.backend)
    if size < width:
        picture = cv2.resize(picture, (width, width))
        coverage = cv2.resize(coverage, (width, width))
    # The square may reach over the image's border.
    top, left = max(transform.top, 0), max(transform.left, 0)
    inside = image[top : transform.top + width, left : transform.left + width]
    rows = slice(top - transform.top, top - transform.top + inside.shape[0])
    columns = slice(left - transform.left, left - transform.left + inside.shape[1])
    blended = blend(picture[rows, columns], coverage[rows, columns], inside / 255.0)
    result = image.copy()
    result[top : top + inside.shape[0], left : left + inside.shape[1]] = np.round(255.0 * blended)
    return result


def _overlay_frames(
    model: FaceReconstructor, scan: VideoScan, follower: Follower
) -> Iterator[Frame]:
    def draw(frame, vertices, colours):
        transform = scan.transforms[frame.number]
        return place_overlay(frame.image, vertices, colours, transform, model)

    return _draw_faces(model, scan, follower, draw, lambda parameters: parameters)


def _draw_faces(
    model: FaceReconstructor,
    scan: VideoScan,
    follower: Follower,
    draw: Callable[[Frame, np.ndarray, np.ndarray], np.ndarray],
    edit: Callable[[FaceParameters], FaceParameters],
) -> Iterator[Frame]:
    """The video's frames, those with a face as `draw` makes them of vertices and colours."""
    row_of = {number: row for row, number in enumerate(scan.transforms)}

    def draw_chunk(frames):
        seen = [frame for frame in frames if frame.number in row_of]
        if seen:
            # Always the same number: each new one would compile the decoder again.
            padded = seen + [seen[-1]] * (_CHUNK - len(seen))
            crops = [crop_image(f.image, scan.transforms[f.number]) for f in padded]
            rows = [row_of[frame.number] for frame in padded]
            dense = None if scan.dense is None else scan.dense[rows]
            parameters = follower.follow(
                np.stack(crops), scan.landmarks[rows], scan.confidence[rows], dense
            )
            faces = model.decode(edit(parameters))
            vertices, colours = faces.vertices.numpy(), faces.colours.numpy()
        index = 0
        for frame in frames:
            if frame.number in row_of:
                frame = frame._replace(image=draw(frame, vertices[..., index], colours[..., index]))
                index += 1
            yield frame

    frames = []
    for frame in read_video(scan.path, scan.num_frames, "drawing faces"):
        frames.append(frame)
        if len(frames) == _CHUNK:
            yield from draw_chunk(frames)
            frames = []
    if frames:
        yield from draw_chunk(frames)
