"""One page, with all that it needs inside, that shows a person's frames in 3D."""

import base64
import functools
import gzip
import html
import json
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.structures import FaceParameters

_PAGE = pathlib.Path(__file__).parent / "assets" / "viewer.html"
_JPEG_QUALITY = 88
_DIGITS = 5  # after the point: of mm, radian and activations


def viewer_page(
    model: FaceReconstructor,
    parameters: FaceParameters,
    names: Sequence[str],
    crops: np.ndarray,
    glb: bytes,
) -> str:
    """The page.

    It shows the face of `glb` in the camera of the crops. A frame gives it the pose, the light and
    the blendshapes' activations that its expression amounts to.

    Args:
      model: that the face was made with.
      parameters: of B = 1 person and M frames, which can be stepped through.
      names: M, of the frames.
      crops: [M, S, S, 3] uint8 RGB, each shown beside its frame.
      glb: of `face_glb` for the same person; can be downloaded from the page.
    """
    values = {
        "rotation": parameters.rotation[0].numpy(),
        "translation": parameters.translation[0].numpy(),
        "illumination": parameters.illumination[0].numpy(),
        "activations": parameters.expression[0].numpy() @ model.expression_basis.blendshape_weights,
    }
    data = {
        "focalLength": model.camera.focal_length_px / model.camera.width,
        "frames": [
            {
                "name": name,
                "picture": _data_url(crop),
                **{key: np.round(rows[m], _DIGITS).tolist() for key, rows in values.items()},
            }
            for m, (name, crop) in enumerate(zip(names, crops, strict=True))
        ],
        "glb": base64.b64encode(gzip.compress(glb, mtime=0)).decode(),
    }
    # No "<" may stand in the JSON: "</script>" would end it.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    before, after = _page().split("<!--DATA-->")
    first, *others = names
    title = f"Face from {first}" + (f" and {len(others)} more" if others else "")
    return before.replace("<!--TITLE-->", html.escape(title)) + text + after


@functools.cache
def _page() -> str:
    return _PAGE.read_text(encoding="utf-8")


def _data_url(picture: np.ndarray) -> str:
    """[H, W, 3] uint8 RGB as a JPEG."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
