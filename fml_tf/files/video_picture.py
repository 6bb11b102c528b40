"""From a decoded frame to the picture that its file means."""

from fractions import Fraction

import av
import cv2
import numpy as np

from fml_tf.files.wide_colours import is_wide, to_srgb

# Widths over heights of pixels that are met: from half to twice, by and large. Others are damage.
_MOST_ASPECT = 4
# Untagged pictures of this many lines have the colours of high definition, smaller ones those of
# standard definition (as browsers have it).
_HIGH_DEFINITION = 720
_BT709, _UNSPECIFIED = 1, 2  # AVColorSpace


def pixel_aspect(ratio: Fraction | None) -> Fraction:
    """Width of a pixel over its height; 1 where a file does not say, or says nonsense."""
    if not ratio or not 1 / _MOST_ASPECT <= ratio <= _MOST_ASPECT:
        return Fraction(1)
    return ratio


def to_rgb(
    frame: av.VideoFrame, aspect: Fraction, reformatter: av.video.reformatter.VideoReformatter
) -> np.ndarray:
    """Converts colours by the frame's tags, makes pixels square and turns upright.

    Args:
      frame: as decoded.
      aspect: width of a pixel over its height.
      reformatter: kept from frame to frame, for speed.

    Returns:
      [H, W, 3] uint8 RGB.

    Raises:
      ValueError: its display matrix turns it by no multiple of 90 degrees.
      av.FFmpegError: a kind of pixels that cannot be converted.
    """
    if frame.colorspace == _UNSPECIFIED and frame.height >= _HIGH_DEFINITION:
        frame.colorspace = _BT709
    wide = is_wide(frame)
    picture = reformatter.reformat(
        frame,
        # The shorter side grows, so that no pixel is lost.
        width=round(frame.width * max(aspect, 1)),
        height=round(frame.height / min(aspect, 1)),
        format="rgb48le" if wide else "rgb24",
        interpolation=av.video.reformatter.Interpolation.BICUBIC,
        threads=1,
    )
    image = picture.to_ndarray()
    if wide:
        image = to_srgb(image, frame.color_trc, frame.color_primaries)
    return np.ascontiguousarray(_turned(image, *_display_matrix(frame)))


def _display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """How a frame is to be turned: (a, b, c, d), (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV refuses to list what it has no name for, as in stereo video. It still gives the
        # angle, though not whether to mirror.
        angle = np.radians(frame.rotation)
        return np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    if matrix is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return a, b, c, d


def _turned(image: np.ndarray, a: float, b: float, c: float, d: float) -> np.ndarray:
    straight, crossed = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, crossed) > 0.01 * max(straight, crossed):
        turn = abs(np.degrees(np.arctan2(b, a)))
        raise ValueError(f"rotated by {turn:.0f} degrees; only quarter turns can be read")
    if crossed > straight:
        image, a, d = cv2.transpose(image), c, b
    if a < 0:
        image = cv2.flip(image, 1)
    if d < 0:
        image = cv2.flip(image, 0)
    return image
