"""The export behind TensorFlow Serving's protocols, on loopback, and the client."""

import base64
import http.server
import json
import random
import re
import threading
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from fake_data import PARAMETERS
from loopback_server import SavedModelSession, serve
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from fml_tf.config import ModelConfig
from fml_tf.geometry.crop import crop_box, crop_image
from fml_tf.models.building import build_model
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmarks import DetectedFace
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.serving import client
from fml_tf.serving.exporting import export_model
from tools.export.write_random_checkpoint import randomise

SIZE = 64


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    model = build_model(
        ModelConfig(network_width=0.05, crop_size=SIZE, shape_size=4, albedo_size=3)
    )
    randomise(model, seed=0)
    directory = tmp_path_factory.mktemp("exports") / "fml" / "3"
    export_model(model, directory)
    return SavedModelSession(directory)


@pytest.fixture(scope="module")
def urls(session):
    with serve(session) as (rest, rpc):
        yield f"http://127.0.0.1:{rest}/v1/models/fml", f"grpc://127.0.0.1:{rpc}/fml"


def _post(url, body):
    """Status and JSON of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + ":predict", data)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _files(count, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (count, SIZE, SIZE, 3), np.uint8)
    return [tf.io.encode_png(image).numpy() for image in images]


def _b64(data):
    return {"b64": base64.b64encode(data).decode()}


def test_row_and_column_form_and_grpc_agree_with_the_model(session, urls):
    files = _files(4)
    array = np.array(files, object).reshape(2, 2)
    expected = session.predict("image_bytes", {"image_bytes": array})
    rows = [[_b64(file) for file in files[:2]], [_b64(file) for file in files[2:]]]
    rest, rpc = urls
    for body in (
        {"inputs": rows},  # a single input needs no name
        {"inputs": {"image_bytes": rows}},
    ):
        status, answer = _post(rest, body | {"signature_name": "image_bytes"})
        assert status == 200
        for name, values in expected.items():
            np.testing.assert_array_equal(np.float32(answer["outputs"][name]), values)
    for instances in (rows, [{"image_bytes": row} for row in rows]):
        body = {"signature_name": "image_bytes", "instances": instances}
        _, answer = _post(rest + "/versions/3", body)
        for name, values in expected.items():
            rows_of_name = [prediction[name] for prediction in answer["predictions"]]
            np.testing.assert_array_equal(np.float32(rows_of_name), values)
    for service in (client.connect(rest), client.connect(rpc)):
        outputs = service.predict("image_bytes", {"image_bytes": array})
        for name, values in expected.items():
            np.testing.assert_array_equal(outputs[name], values)


def test_row_form_works_for_every_signature_with_a_batch(session, urls):
    """Each output has the batch's axis, or TensorFlow Serving would refuse the row form."""
    frames = np.random.default_rng(0).random((2, 1, SIZE, SIZE, 3)).round(3).tolist()
    instances = [{"frames": frames[i], "frame_mask": [True]} for i in range(2)]
    body = {"signature_name": "reconstruct_masked", "instances": instances}
    status, answer = _post(urls[0], body)
    assert status == 200 and len(answer["predictions"]) == 2
    assert set(answer["predictions"][1]) == set(session.signatures["reconstruct"].outputs)


def test_status_and_metadata_are_served(urls):
    with urllib.request.urlopen(urls[0]) as response:
        assert json.load(response)["model_version_status"][0]["state"] == "AVAILABLE"
    with urllib.request.urlopen(urls[0] + "/metadata") as response:
        signatures = json.load(response)["metadata"]["signature_def"]["signature_def"]
    shape = signatures["image_bytes_masked"]["inputs"]["frame_mask"]["tensor_shape"]
    assert [axis["size"] for axis in shape["dim"]] == ["-1", "-1"]


class _FixedDetector:
    """A face with landmarks on a circle; no pixel is looked at."""

    def __init__(self, centre, radius):
        angles = np.linspace(0, 2 * np.pi, 66)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + centre
        box = FaceBox(*(centre - radius), 2 * radius, 1.0)
        self.face = DetectedFace(box, points.astype(np.float32), np.ones(66, np.float32))

    def detect(self, image):
        del image
        return [self.face]


@pytest.mark.parametrize("protocol", (0, 1))
def test_the_client_crops_as_training_does_and_maps_back(session, urls, protocol):
    photo = np.random.default_rng(0).integers(0, 255, (400, 500, 3), np.uint8)
    detector = _FixedDetector(np.array([300.0, 180.0]), 90.0)
    settings = CropSettings(size=SIZE, min_width=100)
    service = client.connect(urls[protocol])
    outputs = client.reconstruct_photos(service, {"a": photo, "b": photo}, detector, settings)
    transform = crop_box(detector.face.landmarks, settings.margin, SIZE)
    crop = np.float32(crop_image(photo, transform)) / 255
    expected = session.predict("reconstruct", {"frames": np.stack([crop, crop])[None]})
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values[0], atol=1e-3, err_msg=name)
    scale = transform.source_width / SIZE
    by_hand = expected["landmarks"][0] * scale + (transform.left, transform.top)
    np.testing.assert_allclose(outputs["photo_landmarks"], by_hand, atol=1e-2)
    picture = client.draw(photo, outputs, 0)
    assert picture.shape == photo.shape and np.any(picture != photo)


def test_the_client_tells_what_the_server_said(urls):
    for url in urls:
        with pytest.raises(client.ServiceError, match="image_bytes: expected JPEG or PNG"):
            image = np.array([[b"no image"]], object)
            client.connect(url).predict("image_bytes", {"image_bytes": image})
    for url in (
        "http://127.0.0.1:9/v1/models/fml",
        "http://[::1",
        "http://127.0.0.1:x/v1",
        "http://a b",
    ):
        with pytest.raises(client.ServiceError, match=re.escape(url)):
            client.connect(url).predict("identity", {})


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        *((200, text) for text in (b"", b"<html>", b"\xff", b"[1]", b"{}", b'{"outputs": [1]}')),
        (502, b'{"error": {"code": 502}}'),
    ],
)
def test_the_client_tells_what_is_no_answer(status, answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/v1/models/fml"
        with pytest.raises(client.ServiceError, match=url):
            client.connect(url).predict("identity", {})


def test_the_client_names_the_photo_without_a_face(urls):
    photos = {"me.jpg": np.zeros((400, 500, 3), np.uint8)}
    with pytest.raises(ValueError, match=r"me\.jpg: "):
        detector = _FixedDetector(np.array([300.0, 180.0]), 9.0)
        client.reconstruct_photos(client.connect(urls[0]), photos, detector, CropSettings())


def test_other_urls_are_refused():
    with pytest.raises(ValueError, match="expected http"):
        client.connect("ftp://127.0.0.1/fml")


def test_the_client_script_exits_with_one_line(tmp_path, capsys):
    values = flags.FlagValues()
    client.define_flags(values)
    values(["client", "--url=http://127.0.0.1:9/v1/models/fml"])
    with pytest.raises(SystemExit) as error:
        client.main(["client", str(tmp_path / "none.jpg")], values)
    assert error.value.code == 2
    assert capsys.readouterr().err.startswith(f"client: {tmp_path}/none.jpg: no such file")


def _nested(depth):
    return [_nested(depth - 1)] if depth else "x"


def _malformed(rng: random.Random, session):
    """A request body that is wrong somewhere."""
    name = rng.choice(sorted(session.signatures))
    file = _b64(_files(1)[0])
    junk = [
        None, 0, -1e30, "x", "", [], [[]], {}, {"b64": "%"}, {"b64": ""}, _b64(b"junk"),
        [[rng.random()]], [[[[[rng.random() * 300] * 3] * SIZE] * SIZE]], [[file, 3]],
        [[_b64(rng.randbytes(200))]], [[_b64(b"\xff\xd8\xff" + rng.randbytes(200))]],
        [[_b64(b"\x89PNG\r\n\x1a\n" + rng.randbytes(200))]], [[True], [True, False]],
        _nested(70),
    ]  # fmt: skip
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice([rng.randbytes(rng.randrange(60)), b"[" * 100_000, b"9" * 5000])
    if kind == 1:
        whole = json.dumps({"signature_name": "image_bytes", "inputs": [[file]]})
        return whole[: rng.randrange(len(whole))].encode()
    if kind == 2:
        return {"signature_name": rng.choice(["none", 3, None, []]), "inputs": rng.choice(junk)}
    if kind == 3:
        return {"signature_name": name, rng.choice(["instances", "rows"]): rng.choice(junk)}
    inputs = {key: rng.choice(junk) for key in session.signatures[name].inputs}
    if kind == 4:
        inputs[rng.choice(["extra", "frames"])] = rng.choice(junk)
    return {"signature_name": name, "inputs": inputs}


def _malformed_message(rng: random.Random, session):
    """A gRPC request of random types, shapes and contents; whether it is one for the graph."""
    name = rng.choice(sorted(session.signatures))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fml"
    request.model_spec.signature_name = name
    kind = rng.randrange(4)
    if kind == 0:
        request.model_spec.signature_name = "none"
    inputs = session.signatures[name].inputs
    for key in rng.sample(sorted(inputs), len(inputs) - 1) if kind == 1 else inputs:
        dtype = tf.dtypes.as_dtype(inputs[key].dtype)
        if kind == 2:
            dtype = rng.choice([d for d in _DTYPES if d != dtype])
        # Seldom the right rank, and never the right sizes but for [1, 1].
        shape = [rng.randrange(4) for _ in range(rng.randrange(7))]
        if dtype == tf.string:
            values = np.empty(shape, object)
            values[...] = rng.choice([b"", b"junk", b"\x89PNG\r\n\x1a\n" + rng.randbytes(90)])
        else:
            scale = rng.choice([0.0, 1.0, 1e30, np.inf, np.nan])
            with np.errstate(invalid="ignore", over="ignore"):
                values = np.full(shape, scale * rng.random()).astype(dtype.as_numpy_dtype)
        request.inputs[key].CopyFrom(tf.make_tensor_proto(values, dtype, shape))
    if kind == 3 and rng.random() < 0.5:
        proto = request.inputs[rng.choice(sorted(inputs))]
        proto.dtype, proto.tensor_content = rng.choice([(0, b""), (999, b""), (1, b"odd")])
        kind = 2
    return request, kind == 3


_DTYPES = (tf.float32, tf.float64, tf.float16, tf.int64, tf.uint8, tf.bool, tf.complex64, tf.string)


@pytest.mark.parametrize("count", (100, pytest.param(1000, marks=pytest.mark.large)))
def test_malformed_requests_then_a_good_one(session, urls, count):
    rest, rpc = urls
    good = np.array([_files(2)], object)
    before = client.connect(rpc).predict("image_bytes", {"image_bytes": good})
    rng = random.Random(0)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(rpc.removeprefix("grpc://").removesuffix("/fml"))
    )
    for i in range(count // 2):
        message, for_graph = _malformed_message(rng, session)
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(message, timeout=60)
        told = (i, message, error.value.details())
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT, told
        if for_graph:
            assert any(f"{n}: expected" in error.value.details() for n in message.inputs), told
    for i in range(count // 2):
        body = _malformed(rng, session)
        status, answer = _post(rest, body)
        assert status == 400 and answer["error"], (i, body, answer)
    for url in urls:
        after = client.connect(url).predict("image_bytes", {"image_bytes": good})
        for name in PARAMETERS:
            np.testing.assert_array_equal(after[name], before[name])
