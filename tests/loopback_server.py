"""Serves one SavedModel on loopback with TensorFlow Serving's REST and gRPC protocols.

For tests, benchmarks and trying out clients where TensorFlow Serving itself is not at hand. It
loads the model the way TensorFlow Serving does, into a TF1 session that is fed without checks of
shape, and imports nothing of this project. One model, all requests at once, no batching.

    python tests/loopback_server.py --model_dir=exports/fml/1 --rest_port=8501 --grpc_port=8500
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from absl import app, flags
from google.protobuf import any_pb2, json_format
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_REST_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict)?")


class RequestError(ValueError):
    """A request that the model or the protocol refuses."""


class SavedModelSession:
    """A SavedModel in a TF1 session.

    Args:
      directory: NAME/VERSION.
    """

    def __init__(self, directory: str | os.PathLike):
        path = pathlib.Path(directory).resolve()
        self.name, self.version = path.parent.name, int(path.name)
        graph = tf.Graph()
        with graph.as_default():
            self._session = tf.compat.v1.Session(graph=graph)
            meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self.signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if not name.startswith("__")
        }
        # The C++ session as a server calls it: `Session.run` would check shapes before.
        self._callables = {
            name: self._session._make_callable_from_options(
                config_pb2.CallableOptions(
                    feed=[info.name for info in signature.inputs.values()],
                    fetch=[info.name for info in signature.outputs.values()],
                )
            )
            for name, signature in self.signatures.items()
        }

    def predict(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Raises:
          RequestError: no such signature, other inputs than it has, or what the graph refuses.
        """
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs):
            raise RequestError(
                f"{name}: expected inputs {sorted(signature.inputs)}, got {sorted(inputs)}"
            )
        for key, info in signature.inputs.items():
            expected, dtype = tf.dtypes.as_dtype(info.dtype), inputs[key].dtype
            if expected != (tf.string if dtype.hasobject else tf.dtypes.as_dtype(dtype)):
                raise RequestError(f"{key}: expected {expected.name}, got {dtype}")
        try:
            outputs = self._callables[name](*(inputs[key] for key in signature.inputs))
        except tf.errors.OpError as error:
            raise RequestError(error.message) from None
        return dict(zip(signature.outputs, outputs))

    def signature(self, name: str):
        """The SignatureDef of a name.

        Raises:
          RequestError: no such signature.
        """
        if not isinstance(name, str) or name not in self.signatures:
            raise RequestError(f"signature {name!r} is none of {sorted(self.signatures)}")
        return self.signatures[name]

    def replay_warmup(self, directory: str | os.PathLike) -> int:
        """Answers the warm-up requests of an export; returns their number."""
        records = tf.data.TFRecordDataset(os.path.join(directory, WARMUP_FILE))
        count = 0
        for record in records.as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            self.answer(log.predict_log.request)
            count += 1
        return count

    def answer(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answers a gRPC request.

        Raises:
          RequestError: see `predict`, or an output to filter by that is none.
        """
        name = request.model_spec.signature_name or "serving_default"
        try:
            inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(f"a tensor that cannot be read: {error}") from None
        outputs = self.predict(name, inputs)
        missing = set(request.output_filter) - set(outputs)
        if missing:
            raise RequestError(f"output_filter: {sorted(missing)} are no outputs of {name}")
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        response.model_spec.signature_name = name
        for key in request.output_filter or outputs:
            response.outputs[key].CopyFrom(tf.make_tensor_proto(outputs[key]))
        return response

    def answer_json(self, body: Mapping) -> dict:
        """Answers a REST request, in row form ("instances") or column form ("inputs").

        Raises:
          RequestError: see `predict`, or JSON that is no request.
        """
        name = body.get("signature_name", "serving_default")
        signature = self.signature(name)
        keys = list(signature.inputs)
        if ("instances" in body) == ("inputs" in body):
            raise RequestError('expected either "instances" or "inputs"')
        if "instances" in body:
            instances = body["instances"]
            if not isinstance(instances, list) or not instances:
                raise RequestError('"instances": expected a list that is not empty')
            if all(isinstance(x, dict) and set(x) != {"b64"} for x in instances):
                if any(set(x) != set(instances[0]) for x in instances):
                    raise RequestError('"instances": expected the same inputs in all')
                values = {key: [x[key] for x in instances] for key in instances[0]}
            else:
                values = _of_single_input(instances, keys)
        else:
            values = body["inputs"]
            if not isinstance(values, dict) or set(values) == {"b64"}:
                values = _of_single_input(values, keys)
        inputs = {}
        for key, value in values.items():
            if key not in signature.inputs:
                raise RequestError(f"{name}: expected inputs {sorted(keys)}, got {sorted(values)}")
            inputs[key] = _array(key, value, tf.dtypes.as_dtype(signature.inputs[key].dtype))
        outputs = self.predict(name, inputs)
        if "inputs" in body:
            columns = {key: value.tolist() for key, value in outputs.items()}
            return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
        sizes = {key: len(value) for key, value in outputs.items()}
        if len(set(sizes.values())) != 1:
            raise RequestError(f"outputs have inconsistent batch sizes: {sizes}")
        columns = {key: value.tolist() for key, value in outputs.items()}
        rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
        return {"predictions": rows if len(columns) > 1 else [next(iter(r.values())) for r in rows]}

    def metadata(self) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """All signatures, as TensorFlow Serving tells them."""
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response.metadata["signature_def"].CopyFrom(packed)
        return response


def _of_single_input(values, keys):
    if len(keys) != 1:
        raise RequestError(f"expected values by the inputs' names: {sorted(keys)}")
    return {keys[0]: values}


def _array(key, values, dtype):
    """JSON lists, with {"b64": ...} for bytes, as an array."""
    if dtype == tf.string:
        return _strings(key, values)
    try:
        array = np.array(values)
    except ValueError:
        raise RequestError(f"{key}: expected lists of equal lengths") from None
    kinds = "b" if dtype == tf.bool else "iuf"
    if array.size and array.dtype.kind not in kinds:
        raise RequestError(f"{key}: expected JSON values for {dtype.name}")
    return array.astype(dtype.as_numpy_dtype)


def _strings(key, values):
    def decode(value):
        if isinstance(value, list):
            return [decode(x) for x in value]
        try:
            if isinstance(value, dict):
                return base64.b64decode(value["b64"], validate=True)
            return value.encode()
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RequestError(f'{key}: expected strings or {{"b64": base64}}') from None

    def shape(value):
        return (
            (len(value), *shape(value[0]))
            if isinstance(value, list) and value
            else ((0,) if isinstance(value, list) else ())
        )

    decoded = decode(values)
    try:
        array = np.empty(shape(decoded), object)
    except ValueError as error:  # more axes than NumPy has
        raise RequestError(f"{key}: {error}") from None
    for index in np.ndindex(array.shape):
        value = decoded
        try:
            for i in index:
                value = value[i]
        except IndexError:
            raise RequestError(f"{key}: expected lists of equal lengths") from None
        if not isinstance(value, bytes):
            raise RequestError(f"{key}: expected lists of equal depth")
        array[index] = value
    return array


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model):
        self._model = model

    def Predict(self, request, context):  # noqa: N802
        if request.model_spec.name != self._model.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_spec.name!r}")
        try:
            return self._model.answer(request)
        except RequestError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def GetModelMetadata(self, request, context):  # noqa: N802
        del request, context
        return self._model.metadata()


def _as_json(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _rest_handler(model):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            match = self._match()
            if match and match[3] == "/metadata":
                self._send(200, _as_json(model.metadata()))
            elif match and match[3] is None:
                status = {"error_code": "OK", "error_message": ""}
                version = {"version": str(model.version), "state": "AVAILABLE", "status": status}
                self._send(200, {"model_version_status": [version]})
            else:
                self._send(404, {"error": f"Not found: {self.path}"})

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            match = self._match()
            if not match or match[3] != ":predict":
                self._send(404, {"error": f"Not found: {self.path}"})
                return
            try:
                request = json.loads(body)
                if not isinstance(request, dict):
                    raise RequestError("expected a JSON object")
                self._send(200, model.answer_json(request))
            except (ValueError, RecursionError) as error:  # also what JSON cannot be parsed for
                self._send(400, {"error": str(error)})

        def log_message(self, *arguments):
            pass

        def _match(self):
            match = _REST_PATH.fullmatch(self.path)
            if match and match[1] == model.name and match[2] in (None, str(model.version)):
                return match
            return None

        def _send(self, status, answer):
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextlib.contextmanager
def serve(
    model: SavedModelSession, rest_port: int = 0, grpc_port: int = 0, threads: int = 16
) -> Iterator[tuple[int, int]]:
    """Serves a model on 127.0.0.1 inside the block; yields the REST and gRPC ports (0: any)."""
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", rest_port), _rest_handler(model))
    rest.daemon_threads = True
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    rpc = grpc.server(
        concurrent.futures.ThreadPoolExecutor(threads),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(model), rpc
    )
    grpc_port = rpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
    rpc.start()
    try:
        yield rest.server_port, grpc_port
    finally:
        rpc.stop(None)
        rest.shutdown()
        rest.server_close()


def main(arguments):
    """Serves until it is interrupted."""
    options = flags.FLAGS
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    start = time.perf_counter()
    try:
        model = SavedModelSession(options.model_dir)
        loaded = time.perf_counter()
        number = model.replay_warmup(options.model_dir)
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.exit(f"loopback_server: {options.model_dir}: {str(error).splitlines()[0]}")
    print(
        f"{model.name} version {model.version}: loaded in {loaded - start:.1f} s, {number} warm-up "
        f"requests in {time.perf_counter() - loaded:.1f} s"
    )
    with serve(model, options.rest_port, options.grpc_port) as (rest_port, grpc_port):
        print(f"REST on 127.0.0.1:{rest_port}, gRPC on 127.0.0.1:{grpc_port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Export to serve: NAME/VERSION.", required=True)
    flags.DEFINE_integer("rest_port", 8501, "Port of the REST protocol; 0 for any.")
    flags.DEFINE_integer("grpc_port", 8500, "Port of the gRPC protocol; 0 for any.")
    app.run(main)
