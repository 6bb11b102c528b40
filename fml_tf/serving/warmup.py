"""Requests that a server answers before it takes traffic, and that tests and probes replay."""

import os

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from fml_tf.files.images import to_bytes
from fml_tf.models.reconstructor import FaceReconstructor, hold_at_mean
from fml_tf.rendering.pictures import BACKGROUND, blend, render_face
from fml_tf.serving.signatures import MASKED
from fml_tf.structures import FaceParameters

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def mean_face_crop(model: FaceReconstructor) -> np.ndarray:
    """The model's own mean face as a crop, [S, S, 3] uint8: a picture that is always at hand."""
    blank = np.zeros((1, 1, model.camera.height, model.camera.width, 3), np.float32)
    parameters = model.encode(blank, np.ones((1, 1), bool))
    light = np.zeros((1, 1, 9, 3), np.float32)
    light[:, :, 0] = 3.5  # shading of about 1 on all sides, some more from above and the front
    light[:, :, 1:3] = 0.3
    faces = model.decode(
        FaceParameters(
            identity=hold_at_mean(parameters.identity),
            frame={
                "rotation": tf.zeros_like(parameters.rotation),
                "translation": model.initial_translation[None, None],
                "expression": tf.zeros_like(parameters.expression),
                "illumination": light,
            },
        )
    )
    vertices, colours = faces.vertices[..., 0].numpy(), faces.colours[..., 0].numpy()
    picture, coverage = render_face(vertices, colours, model.template, model.camera)
    return to_bytes(blend(picture, coverage, BACKGROUND))


def example_inputs(model: FaceReconstructor, crop: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """A request for each signature: one person, of one frame, or of two with the second masked.

    Args:
      model: the model.
      crop: [S, S, 3] uint8.

    Returns:
      Arrays by signature and input.
    """
    frames = np.float32(crop)[None, None] / 255.0
    file = tf.io.encode_jpeg(crop, quality=95).numpy()
    files = np.array([[file]], object)
    mask = np.array([[True, False]])
    parameters = model.encode(frames, np.ones((1, 1), bool))
    one, two = {"frames": frames}, {"frames": frames.repeat(2, axis=1), "frame_mask": mask}
    return {
        "serving_default": one,
        "serving_default" + MASKED: two,
        "reconstruct": one,
        "reconstruct" + MASKED: two,
        "identity": one,
        "identity" + MASKED: two,
        "image_bytes": {"image_bytes": files},
        "image_bytes" + MASKED: {
            "image_bytes": np.array([[file, b""]], object),
            "frame_mask": mask,
        },
        "geometry": {name: values.numpy() for name, values in parameters.by_name().items()},
    }


def write_warmup_requests(
    path: str | os.PathLike, requests: dict[str, dict[str, np.ndarray]], model_name: str
) -> None:
    """Writes requests as TensorFlow Serving reads them: a TFRecord file of `PredictionLog`s."""
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
