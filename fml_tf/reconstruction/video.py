"""The reconstructed face laid over every frame of its video."""

import fractions
import os
from collections.abc import Iterator

import av
import cv2
import numpy as np

from fml_tf.files.atomic import atomic_path
from fml_tf.files.video import video_info
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.models.fml_model import FmlModel
from fml_tf.reconstruction.inputs import VideoScan, read_video
from fml_tf.reconstruction.reconstruction import follow_frames
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pictures import blend, render_face

# Frames that go through the network together, beside those of the identity.
_CHUNK = 16
# Where the file does not tell.
_DEFAULT_FRAMES_PER_SECOND = 25.0
# Faces that are larger in the source are rendered at this size, px, and scaled up: time grows with
# the area, and colours between vertices hold no finer detail.
_MAX_RENDER_SIZE = 360


def write_overlay_video(
    path: str | os.PathLike, model: FmlModel, scan: VideoScan, identity_crops: np.ndarray
) -> None:
    """Writes an H.264 video of the source's size and rate with the face over every frame.

    The identity is fixed by `identity_crops`; pose, expression and light are each frame's own.
    Frames in which no face was found stay as they are. Sides of an odd number of pixels, which
    H.264 (4:2:0) cannot have, grow by one. Sound is not kept.

    Args:
      path: of the .mp4 file.
      model: the model.
      scan: of the source video.
      identity_crops: [M, S, S, 3] uint8 RGB, the frames that the identity is pooled over.

    Raises:
      NotWrittenError: it cannot be written to its end.
    """
    frames_per_second = video_info(scan.path).frames_per_second or _DEFAULT_FRAMES_PER_SECOND
    # Of libav, not of a program beside this one: each packet and the trailer raise if they do not
    # get to the disk.
    with atomic_path(path) as temporary, av.open(temporary, "w", format="mp4") as container:
        rate = fractions.Fraction(frames_per_second).limit_denominator(100_000)
        stream = container.add_stream("libx264", rate, {"crf": "15"})
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(_overlay_frames(model, scan, identity_crops)):
            height, width = image.shape[:2]
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def place_overlay(
    image: np.ndarray,
    vertices: np.ndarray,
    colours: np.ndarray,
    transform: CropTransform,
    model: FmlModel,
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
    picture, coverage = render_face(vertices, colours, model.template, camera)
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
    model: FmlModel, scan: VideoScan, identity_crops: np.ndarray
) -> Iterator[np.ndarray]:
    frames = []
    for number, image in read_video(scan.path, scan.num_frames, "overlay"):
        frames.append((image, scan.transforms.get(number)))
        if len(frames) == _CHUNK:
            yield from _overlay_chunk(model, frames, identity_crops)
            frames = []
    if frames:
        yield from _overlay_chunk(model, frames, identity_crops)


def _overlay_chunk(
    model: FmlModel,
    frames: list[tuple[np.ndarray, CropTransform | None]],
    identity_crops: np.ndarray,
) -> Iterator[np.ndarray]:
    crops = [crop_image(image, transform) for image, transform in frames if transform]
    if crops:
        # Always as many: each new number of frames would compile the decoder again.
        crops += [crops[-1]] * (_CHUNK - len(crops))
        faces = model.decode(follow_frames(model, identity_crops, np.stack(crops)))
        vertices, colours = faces.vertices.numpy(), faces.colours.numpy()
    index = 0
    for image, transform in frames:
        if transform is not None:
            image = place_overlay(
                image, vertices[..., index], colours[..., index], transform, model
            )
            index += 1
        yield image
