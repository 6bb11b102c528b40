"""dlib's networks in the package `face_recognition_models`, found as files."""

import importlib.util
import pathlib

LANDMARKS = "shape_predictor_68_face_landmarks.dat"
RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"


def packaged_model(name: str) -> pathlib.Path:
    """The path of a file of the package.

    Raises:
      FileNotFoundError: the package is not installed.
    """
    # Current Python cannot import the package (it needs pkg_resources): only its files are used.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        raise FileNotFoundError(
            f"the package face_recognition_models, which holds {name}, is not installed: "
            "pip install face_recognition_models"
        )
    return pathlib.Path(spec.submodule_search_locations[0], "models", name)
