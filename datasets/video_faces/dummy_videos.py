"""Videos that tests make of scikit-image's public-domain portrait."""

import pathlib

import av
import cv2
import numpy as np
import skimage.data


def portrait_frames(count: int, turn: float = 24.0, zoom: float = 1.9) -> list[np.ndarray]:
    """The portrait, tilted from -turn/2 to turn/2 degrees: `count` frames [480, 480, 3] RGB."""
    face = (222, 130)
    frames = []
    for angle in np.linspace(-turn / 2, turn / 2, count):
        matrix = cv2.getRotationMatrix2D(face, angle, zoom)
        matrix[:, 2] += np.array([240, 250]) - face
        frames.append(cv2.warpAffine(skimage.data.astronaut(), matrix, (480, 480)))
    return frames


def write_video(path: pathlib.Path, frames: list[np.ndarray]) -> None:
    """Writes RGB frames as MPEG-4, 25 a second."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        for frame in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
