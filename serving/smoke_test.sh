#!/usr/bin/env bash
# Asks a running server, TensorFlow Serving or tests/loopback_server.py, what a client would: its
# status, a face over REST and over gRPC, and a bad request between two good ones.
# Usage: serving/smoke_test.sh [PHOTO] [REST_PORT] [GRPC_PORT]; PYTHON=... for another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}"
photo="${1:-$("$python" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png")')}"
rest="http://127.0.0.1:${2:-8501}/v1/models/fml"
grpc="grpc://127.0.0.1:${3:-8500}/fml"
output="$(mktemp -d)"
trap 'rm -r "$output"' EXIT

fail() { echo "smoke_test: $*" >&2; exit 1; }

answer="$(curl --silent --show-error --fail "$rest")" || fail "no answer from $rest"
grep -q AVAILABLE <<<"$answer" || fail "not available: $answer"
answer="$(curl --silent --show-error --fail "$rest/metadata")" || fail "no answer from $rest/metadata"
grep -q image_bytes_masked <<<"$answer" || fail "no signature image_bytes_masked: $answer"
echo "status and metadata: ok"

"$python" -m fml_tf.serving.client "$photo" --url="$rest" --output_dir="$output/rest"
answer="$(curl --silent -d '{"signature_name": "image_bytes", "instances": [[{"b64": "bm8gaW1hZ2U="}]]}' "$rest:predict")"
grep -q 'image_bytes: expected JPEG or PNG files' <<<"$answer" || fail "unexpected: $answer"
echo "bad request: refused with its reason"
"$python" -m fml_tf.serving.client "$photo" --url="$grpc" --output_dir="$output/grpc"
"$python" - "$output" <<'PYTHON'
import sys

import numpy as np

rest, grpc = (np.load(f"{sys.argv[1]}/{name}/face.npz") for name in ("rest", "grpc"))
largest = max(np.abs(rest[name] - np.float64(grpc[name])).max() for name in rest.files)
assert largest < 1e-3, f"REST and gRPC differ by {largest}"
print(f"REST and gRPC agree to {largest:.1g}")
PYTHON
