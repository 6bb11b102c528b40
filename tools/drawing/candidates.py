"""Draws the frames of a clip that a multi-frame image is chosen from, and which were chosen.

    python -m tools.drawing.candidates --output=candidates.jpg clip.mp4 other.mp4

One block a clip, in its order, each frame with its number, head pose (degrees from the camera; yaw,
pitch, roll), sharpness and mean confidence. Chosen frames are framed in green, blurred ones in red.
What is not shown had no usable face of the clip's person; it is printed by reason.
"""

import cv2
import numpy as np
from absl import app, flags
from scipy.spatial.transform import Rotation

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.preprocessing.candidates import Candidate, find_candidates
from fml_tf.preprocessing.clip import ClipSettings, choose_images
from fml_tf.preprocessing.frame_choice import usable_frames
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.pictures import draw_landmarks
from fml_tf.template.loading import load_template

_OUTPUT = flags.DEFINE_string("output", None, "Picture file to write.", required=True)
_COUNT = flags.DEFINE_integer("candidates", 16, "Frames of a clip to look at.", lower_bound=1)
_COLUMNS = flags.DEFINE_integer("columns", 8, "Frames in a row.", lower_bound=1)
_GREEN, _RED, _GREY = (40, 220, 40), (230, 40, 40), (90, 90, 90)
_FRAME = 5


def draw_candidate(candidate: Candidate, colour: tuple[int, int, int]) -> np.ndarray:
    """A candidate's crop with its figures, in a frame of a colour."""
    frame = candidate.frame
    picture = draw_landmarks(frame.crop, frame.landmarks, frame.confidence)
    roll, yaw, pitch = Rotation.from_rotvec(frame.pose.rotation).as_euler("ZYX", degrees=True)
    lines = (
        f"{candidate.number}  {candidate.seconds:.1f} s",
        f"{yaw:+.0f} {pitch:+.0f} {roll:+.0f} deg",
        f"sharp {candidate.sharpness:.0f}  conf {frame.confidence.mean():.2f}",
    )
    for row, text in enumerate(lines):
        for shade, thickness in ((0, 3), (255, 1)):
            place = (8, 18 + 15 * row)
            cv2.putText(
                picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (shade,) * 3, thickness
            )
    inside = picture[_FRAME:-_FRAME, _FRAME:-_FRAME]
    return cv2.copyMakeBorder(inside, *(_FRAME,) * 4, cv2.BORDER_CONSTANT, value=colour)


def draw_clip(path: str, detector: DlibLandmarkDetector, template_landmarks: np.ndarray):
    """A block [H, W, 3] of a clip's candidates; None if it has none."""
    settings = ClipSettings(candidates_per_image=_COUNT.value)
    candidates, rejected = find_candidates(
        path, detector, template_landmarks, _COUNT.value, settings.crop
    )
    sharpnesses = [candidate.sharpness for candidate in candidates]
    usable = usable_frames(sharpnesses, settings.min_sharpness)
    chosen = []
    if len(usable) >= settings.num_frames:
        images, _ = choose_images([candidates[i] for i in usable], settings)
        chosen = [candidate for image in images for candidate in image]
    print(f"{path}: {len(candidates)} candidates; not shown: {dict(+rejected)}")
    if not candidates:
        return None
    tiles = []
    for i, candidate in enumerate(candidates):
        colour = _GREEN if candidate in chosen else _GREY if i in usable else _RED
        tiles.append(draw_candidate(candidate, colour))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS.value)
    rows = [tiles[i : i + _COLUMNS.value] for i in range(0, len(tiles), _COLUMNS.value)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def main(argv):
    """Draws the clips that are named."""
    if len(argv) < 2:
        raise app.UsageError("name video files")
    template = load_template("makehuman", "4k", "average")
    template_landmarks = template.mean_shape[template.landmark_vertices]
    detector = DlibLandmarkDetector()
    with one_line_errors("candidates"):
        blocks = [draw_clip(path, detector, template_landmarks) for path in argv[1:]]
        blocks = [block for block in blocks if block is not None]
        if blocks:
            write_image(_OUTPUT.value, np.concatenate(blocks))


if __name__ == "__main__":
    app.run(main)
