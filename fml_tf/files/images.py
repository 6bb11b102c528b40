"""Photos from files, and colours as bytes."""

import os
import pathlib

import cv2
import numpy as np


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads a photo as [H, W, 3] uint8 RGB, upright by its EXIF orientation.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not an image that OpenCV reads.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise ValueError(f"{path}: not an image that can be read")
    return image


def to_bytes(colours: np.ndarray) -> np.ndarray:
    """Rounds colours in [0, 1], clipped, to uint8; uint8 passes through."""
    colours = np.asarray(colours)
    if colours.dtype == np.uint8:
        return colours
    return np.round(255.0 * np.clip(colours, 0.0, 1.0)).astype(np.uint8)
