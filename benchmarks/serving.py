"""Latency, throughput and memory of an export behind a server, TensorFlow Serving or loopback's.

    python tools/loopback_server.py --model_dir=exports/fml/1 &
    python -m benchmarks.serving --url=grpc://127.0.0.1:8500/fml --model_dir=exports/fml/1 \
      --server_pid=$!

The requests are the export's own warm-up requests. Each number of clients sends for the same number
of requests in all; with --soak=10000, one more round of that many shows whether the server's memory
grows.
"""

import concurrent.futures
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow_serving.apis import prediction_log_pb2

from fml_tf.serving.client import connect
from fml_tf.serving.warmup import WARMUP_FILE

NUM_CLIENTS = (1, 2, 4, 8, 16)


def warmup_request(model_dir: str, signature: str) -> dict[str, np.ndarray]:
    """The inputs of a signature's warm-up request.

    Raises:
      ValueError: the export holds none for it.
    """
    for record in tf.data.TFRecordDataset(os.path.join(model_dir, WARMUP_FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        if request.model_spec.signature_name == signature:
            return {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    raise ValueError(f"{model_dir}: no warm-up request for {signature!r}")


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def send(url: str, signature: str, inputs: dict, num_clients: int, num_requests: int):
    """Sends requests from several clients at once; seconds of each, and of all."""

    def client(count):
        service, seconds = connect(url), np.empty(count)
        for i in range(count):
            start = time.perf_counter()
            service.predict(signature, inputs)
            seconds[i] = time.perf_counter() - start
        return seconds

    with concurrent.futures.ThreadPoolExecutor(num_clients) as pool:
        start = time.perf_counter()
        seconds = list(pool.map(client, [num_requests // num_clients] * num_clients))
        return np.concatenate(seconds), time.perf_counter() - start


def main(arguments):
    """Prints the figures."""
    options = flags.FLAGS
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    if options.soak and options.server_pid is None:
        raise app.UsageError("--soak reads the memory of --server_pid")
    inputs = warmup_request(options.model_dir, options.signature)
    print(f"{options.signature}, {options.url.split(':')[0]}, {options.requests} requests")
    send(options.url, options.signature, inputs, 1, 10)
    for num_clients in NUM_CLIENTS:
        seconds, total = send(options.url, options.signature, inputs, num_clients, options.requests)
        p50, p95, p99 = np.percentile(1e3 * seconds, (50, 95, 99))
        print(
            f"{num_clients:2d} clients: p50 {p50:.1f} ms · p95 {p95:.1f} · p99 {p99:.1f} · "
            f"{len(seconds) / total:.0f} requests/s",
            flush=True,
        )
    for i in range(10 if options.soak else 0):
        send(options.url, options.signature, inputs, 4, options.soak // 10)
        print(
            f"after {(i + 1) * options.soak // 10} requests: "
            f"{resident_megabytes(options.server_pid):.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    flags.DEFINE_string("url", "grpc://127.0.0.1:8500/fml", "See fml_tf/serving/client.py.")
    flags.DEFINE_string("model_dir", None, "The export that is served.", required=True)
    flags.DEFINE_string("signature", "image_bytes", "Signature to ask.")
    flags.DEFINE_integer("requests", 400, "Requests for each number of clients.", lower_bound=16)
    flags.DEFINE_integer("soak", 0, "Requests of the last round, for memory.", lower_bound=0)
    flags.DEFINE_integer("server_pid", None, "The server's process, for --soak.")
    app.run(main)
