"""What is seen of one person: pictures, landmarks and dense points, as a refinement reads them."""

import cv2
import numpy as np
import tensorflow as tf


class Evidence:
    """Pictures and points of one person's M frames; the pictures blurred so that slopes reach.

    Args:
      frames: [M, S, S, 3] crops, sRGB in [0, 1].
      landmarks: [M, 66, 2] crop px; anything where the confidence is 0.
      confidence: [M, 66] in [0, 1].
      visible: [V, M] bool tensor, vertices whose colours are to be looked at.
      dense: [M, A, 4], a detector's anchored points as in `PreparedFrame`; None for none. `depths`
        [M, A] px are theirs behind their mean.

    Raises:
      ValueError: something that is to be believed is not finite.
    """

    def __init__(self, frames, landmarks, confidence, visible, dense):
        blurred = [cv2.GaussianBlur(np.float32(frame), (0, 0), 1.0) for frame in frames]
        self.frames = tf.constant(np.stack(blurred))
        slopes = [np.concatenate([_slope(f, 1, 0), _slope(f, 0, 1)], axis=-1) for f in blurred]
        self.slopes = tf.constant(np.stack(slopes))
        self.confidence = np.float64(confidence)
        self.landmarks = np.where(self.confidence[..., None] > 0, np.float64(landmarks), 0.0)
        self.visible = visible.numpy()
        self.dense = self.depths = None
        if dense is not None:
            self.dense = np.where(dense[..., 3:] > 0, np.float64(dense), 0.0)
            depths = self.dense[..., 2]
            self.depths = depths - depths.mean(axis=1, keepdims=True)
        for name, values in vars(self).items():
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"nothing can be refined by {name} that are not finite")


def _slope(picture, across, down):
    return cv2.Sobel(picture, cv2.CV_32F, across, down, ksize=3, scale=1 / 8)
