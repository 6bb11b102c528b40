"""Chooses a landmark detector by name."""

from fml_tf.preprocessing.face_mesh import DenseLandmarkDetector
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector, LandmarkDetector

LANDMARK_DETECTORS = ("auto", "dlib", "mediapipe")


def make_landmark_detector(name: str = "auto") -> LandmarkDetector:
    """Makes a detector of `LANDMARK_DETECTORS`.

    "auto" is MediaPipe's where LiteRT is installed, since it finds more faces and marks them better
    (docs/data.md has the figures), else dlib's.

    Raises:
      ImportError: "mediapipe" without LiteRT.
      ValueError: another name.
    """
    if name not in LANDMARK_DETECTORS:
        raise ValueError(f"landmark detector {name!r}: one of {', '.join(LANDMARK_DETECTORS)}")
    if name != "dlib":
        try:
            return DenseLandmarkDetector()
        except ImportError:
            if name == "mediapipe":
                raise
    return DlibLandmarkDetector()
