"""Where dlib's trained models lie: in the wheel `face_recognition_models`."""

import importlib.util
import pathlib


def packaged_dlib_model(name: str) -> pathlib.Path:
    """The path of a model's file in the wheel; whether there is such a file is not looked at.

    Raises:
      FileNotFoundError: the wheel is not installed.
    """
    # Current Python cannot import the package (it needs pkg_resources): only its file is used.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        raise FileNotFoundError(
            "the package face_recognition_models, which holds dlib's models, is not"
            " installed: pip install face_recognition_models"
        )
    return pathlib.Path(spec.submodule_search_locations[0], "models", name)
