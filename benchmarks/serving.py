"""Latency, throughput and memory of an export behind a server, TensorFlow Serving or loopback's.

    python tests/loopback_server.py --model_dir=exports/fml/1 &
    python -m benchmarks.serving --url=grpc://127.0.0.1:8500/fml --model_dir=exports/fml/1 \
      --server_pid=$!

The requests are the export's own warm-up requests. Each number of clients sends the same number of
requests in all; with --soak=10000 four clients then send that many, all warm-up requests in turn
and one that is refused, and the server's memory is read ten times.
"""

import concurrent.futures
import itertools
import os
import time

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow_serving.apis import prediction_log_pb2

from fml_tf.serving.client import ServiceError, connect
from fml_tf.serving.warmup import WARMUP_FILE

NUM_CLIENTS = (1, 2, 4, 8, 16)


def warmup_requests(model_dir: str) -> dict[str, dict[str, np.ndarray]]:
    """The inputs of the warm-up requests, by signature."""
    requests = {}
    for record in tf.data.TFRecordDataset(os.path.join(model_dir, WARMUP_FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        requests[request.model_spec.signature_name] = {
            name: tf.make_ndarray(proto) for name, proto in request.inputs.items()
        }
    return requests


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


def soak(url: str, requests: list[tuple[str, dict]], num_requests: int, num_clients: int = 4):
    """Sends the requests in turn from several clients; numbers of answers and of refusals."""

    def client(count):
        service, refused = connect(url), 0
        for signature, inputs in itertools.islice(itertools.cycle(requests), count):
            try:
                service.predict(signature, inputs)
            except ServiceError:
                refused += 1
        return count - refused, refused

    with concurrent.futures.ThreadPoolExecutor(num_clients) as pool:
        return np.sum(list(pool.map(client, [num_requests // num_clients] * num_clients)), axis=0)


def main(arguments):
    """Prints the figures."""
    options = flags.FLAGS
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    if options.soak and options.server_pid is None:
        raise app.UsageError("--soak reads the memory of --server_pid")
    requests = warmup_requests(options.model_dir)
    inputs = requests[options.signature]
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
    bad = {"image_bytes": np.array([[b"no image"]], object)}
    answers = np.zeros(2, int)
    for _ in range(10 if options.soak else 0):
        answers += soak(options.url, [*requests.items(), ("image_bytes", bad)], options.soak // 10)
        print(
            f"after {answers.sum()} requests, {answers[1]} of them refused: "
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
