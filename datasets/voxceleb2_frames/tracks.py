"""VoxCeleb2's `txt` files: where the speaker's face is in the original video."""

import re

import numpy as np

from fml_tf.preprocessing.face_track import FaceTrack

# The frames are counted at this rate, whatever the rate of the video.
_FRAMES_PER_SECOND = 25.0


class TrackError(ValueError):
    """A `txt` file that holds no track."""


def parse_track(text: str) -> FaceTrack:
    """Reads a face track.

    After lines such as `Identity  : id00012` and a line with the names of the columns comes a line
    a frame, `000349 0.319 0.067 0.424 0.753`: its number, counted at 25 a second from the start of
    the video, then left, top, width and height of the face as fractions of the frame. The box is
    about square in pixels, so its fractions are not.

    Raises:
      TrackError: no track, or one in pixels (as VoxCeleb1 has them).
    """
    header = re.search(r"^FRAME.*$", text, re.MULTILINE)
    table = text[header.end() :] if header else ""
    rows = [line.split() for line in table.splitlines() if line.strip()]
    try:
        frames = np.array([int(row[0]) for row in rows])
        boxes = np.array([[float(value) for value in row[1:]] for row in rows], np.float32)
        track = FaceTrack(frames / _FRAMES_PER_SECOND, boxes)
    except (ValueError, IndexError, OverflowError) as error:
        raise TrackError(f"no face track ({error})") from error
    if boxes[:, 2:].max() > 2:
        raise TrackError("a face track in pixels, as VoxCeleb1 has them; fractions are needed")
    return track
