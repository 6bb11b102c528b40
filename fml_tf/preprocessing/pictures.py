"""Crops with what was found in them, for the eye to check."""

import cv2
import numpy as np


def draw_landmarks(
    crop: np.ndarray, landmarks: np.ndarray, confidence: np.ndarray, zoom: int = 1
) -> np.ndarray:
    """Draws landmarks [66, 2] px on a crop [S, S, 3] uint8: [zoom·S, zoom·S, 3].

    They are green where their confidence is 1 and red where it is 0.
    """
    picture = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    for (u, v), sure in zip(landmarks * zoom, confidence, strict=True):
        colour = (255 * (1 - float(sure)), 255 * float(sure), 0)
        cv2.circle(picture, (int(u), int(v)), max(1, zoom), colour, -1, cv2.LINE_AA)
    return picture
