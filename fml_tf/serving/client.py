"""Reconstructs a face with a model that TensorFlow Serving serves, over REST or gRPC.

    python -m fml_tf.serving.client me.jpg --url=http://localhost:8501/v1/models/fml
    python -m fml_tf.serving.client me.jpg me_too.jpg --url=grpc://localhost:8500/fml

Several photos are of one person and give one identity. The photos are cropped here, as for
training; what comes back is mapped to the photos. Writes face.npz (all outputs of the signatures
image_bytes and geometry, and `photo_positions`, `photo_landmarks`: [M, ..., 2] source px) and, for
each photo, overlay_0.png ... into --output_dir.
"""

import base64
import functools
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

from fml_tf import quiet  # noqa: F401  # isort: skip

import cv2
import grpc
import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import atomic_path, write_image
from fml_tf.files.folders import probe_directory
from fml_tf.files.images import read_image, to_bytes
from fml_tf.files.names import printable
from fml_tf.geometry.crop import DEFAULT_MARGIN, DEFAULT_SIZE, crop_image
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings, FaceError, find_face


class ServiceError(ValueError):
    """What the server said, or why it could not be asked; one line."""


class RestService:
    """A model behind TensorFlow Serving's REST interface.

    Args:
      url: http://HOST:PORT/v1/models/NAME, with or without /versions/N.
      timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, timeout: float = 60.0):
        self._url = url.rstrip("/") + ":predict"
        self._timeout = timeout

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Asks a signature, in column form.

        Raises:
          ServiceError: the server refuses the request, or does not answer.
        """
        columns = {name: _to_json(values) for name, values in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._url, body, headers)
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                answer = json.load(response)
            return {name: _from_json(values) for name, values in answer["outputs"].items()}
        except urllib.error.HTTPError as error:
            reason = _first_line(_json_error(error.read()))
            raise ServiceError(f"{self._url}: {reason}") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise ServiceError(f"{self._url}: the answer is not JSON") from None
        except (AttributeError, KeyError, TypeError):
            raise ServiceError(f"{self._url}: the answer holds no outputs by name") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServiceError(f"{self._url}: {error}") from None


class GrpcService:
    """A model behind TensorFlow Serving's gRPC interface, without encryption.

    Args:
      url: grpc://HOST:PORT/NAME.
      timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, timeout: float = 60.0):
        parts = urllib.parse.urlsplit(url)
        self._url, self._name, self._timeout = url, parts.path.strip("/"), timeout
        channel = grpc.insecure_channel(
            parts.netloc, [("grpc.max_receive_message_length", -1)]
        )  # the vertices of many frames are more than the 4 MB that gRPC takes by default
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Asks a signature.

        Raises:
          ServiceError: the server refuses the request, or does not answer.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise ServiceError(f"{self._url}: {_first_line(error.details())}") from None
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def connect(url: str) -> RestService | GrpcService:
    """The service behind a URL: http(s) for REST, grpc for gRPC.

    Raises:
      ValueError: neither.
    """
    scheme = url.split(":")[0].lower()
    if scheme in ("http", "https"):
        return RestService(url)
    if scheme == "grpc":
        return GrpcService(url)
    raise ValueError(
        f"--url={url}: expected http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME"
    )


def reconstruct_photos(
    service: RestService | GrpcService,
    photos: dict[str, np.ndarray],
    detector: LandmarkDetector,
    settings: CropSettings,
) -> dict[str, np.ndarray]:
    """One person's face from photos.

    Args:
      service: of `connect`.
      photos: M photos by name, [H, W, 3] uint8 RGB.
      detector: finds the face.
      settings: crop and thresholds; margin and size must be those of the model.

    Returns:
      The outputs of `image_bytes` and `geometry` without the batch axis, and `photo_positions`
      [M, V, 2] and `photo_landmarks` [M, 66, 2] in source px.

    Raises:
      ValueError: a photo without a usable face, by its name.
      ServiceError: see `predict`.
    """
    transforms = []
    files = np.empty((1, len(photos)), object)
    for m, (name, photo) in enumerate(photos.items()):
        try:
            transform = find_face(photo, detector, settings)[1]
        except FaceError as error:
            raise ValueError(f"{name}: {error}") from None
        transforms.append(transform)
        crop = crop_image(photo, transform)
        files[0, m] = cv2.imencode(".png", crop[..., ::-1])[1].tobytes()
    parameters = service.predict("image_bytes", {"image_bytes": files})
    parameters = {name: values.astype(np.float32) for name, values in parameters.items()}
    outputs = parameters | service.predict("geometry", parameters)
    outputs = {name: values[0] for name, values in outputs.items()}
    for name in ("positions", "landmarks"):
        outputs[f"photo_{name}"] = np.stack(
            [transform.invert(points) for transform, points in zip(transforms, outputs[name])]
        )
    return outputs


def draw(photo: np.ndarray, outputs: dict[str, np.ndarray], frame: int) -> np.ndarray:
    """The photo with the visible vertices in their shaded colours and the landmarks on it."""
    picture = photo.copy()
    shown = outputs["visible"][frame].astype(bool)
    colours = to_bytes(outputs["colours"][frame])
    for (u, v), colour in zip(outputs["photo_positions"][frame][shown], colours[shown]):
        cv2.circle(picture, (int(u), int(v)), 1, colour.tolist(), -1)
    radius = max(1, round(np.ptp(outputs["photo_landmarks"][frame]) / 100))
    for u, v in outputs["photo_landmarks"][frame]:
        cv2.circle(picture, (int(u), int(v)), radius, (0, 255, 0), -1)
    return picture


def _to_json(values):
    """An array as lists; bytes as TensorFlow Serving wants them."""
    if values.dtype.hasobject:
        if values.ndim == 0:
            return {"b64": base64.b64encode(values.item()).decode()}
        return [_to_json(np.asarray(row, object)) for row in values]
    return values.tolist()


def _from_json(values):
    values = np.array(values)
    return values.astype(np.float32) if values.dtype == np.float64 else values


def _json_error(body):
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


def _first_line(text):
    # Proxies before a server may answer with an object, and gRPC with nothing.
    return (str(text or "").splitlines() or ["no reason given"])[0]


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""
    text = functools.partial(flags.DEFINE_string, flag_values=flag_values)
    text("url", None, "http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME.", required=True)
    text("output_dir", ".", "Folder to write to.")
    flags.DEFINE_float(
        "crop_margin",
        DEFAULT_MARGIN,
        "`crop_margin` of the export's assets.extra/model.json.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "crop_size",
        DEFAULT_SIZE,
        "`crop_size` of the export's assets.extra/model.json.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "min_face_size",
        100,
        "Least width of a face's crop in the photo, pixels.",
        flag_values=flag_values,
    )


def main(arguments, options: flags.FlagValues = flags.FLAGS) -> None:
    """Reconstructs the photos named on the command line; errors are one line and exit code 2."""
    paths = arguments[1:]
    settings = CropSettings(
        margin=options.crop_margin, size=options.crop_size, min_width=options.min_face_size
    )
    with one_line_errors("client"):
        if not paths:
            raise ValueError("name one or more photos of one person")
        folder = probe_directory(options.output_dir)
        photos = {path: read_image(path) for path in paths}
        outputs = reconstruct_photos(
            connect(options.url), photos, make_landmark_detector(), settings
        )
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "face.npz") as path:
            np.savez_compressed(path, **outputs)
        for m, photo in enumerate(photos.values()):
            write_image(folder / f"overlay_{m}.png", draw(photo, outputs, m))
        print(f"Wrote the face of {len(photos)} photo(s) to {printable(options.output_dir)}")


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
