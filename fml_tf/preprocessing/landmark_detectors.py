"""Chooses a landmark detector by name."""

import importlib

from fml_tf.preprocessing.face_mesh import DenseLandmarkDetector
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector, LandmarkDetector

LANDMARK_DETECTORS = ("auto", "dlib", "mediapipe")


def installed_landmark_detector(name: str = "auto") -> str:
    """The detector that a name of `LANDMARK_DETECTORS` stands for on this machine.

    "auto" is MediaPipe's where LiteRT is installed, since it finds more faces and marks them better
    (docs/data.md has the figures), else dlib's.

    Raises:
      ValueError: another name.
    """
    if name not in LANDMARK_DETECTORS:
        raise ValueError(f"landmark detector {name!r}: one of {', '.join(LANDMARK_DETECTORS)}")
    if name != "auto":
        return name
    try:
        importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return "dlib"
    return "mediapipe"


def make_landmark_detector(name: str = "auto") -> LandmarkDetector:
    """Makes the detector that `installed_landmark_detector` names.

    Raises:
      ImportError: "mediapipe" without LiteRT.
      ValueError: another name.
    """
    if installed_landmark_detector(name) == "mediapipe":
        return DenseLandmarkDetector()
    return DlibLandmarkDetector()
