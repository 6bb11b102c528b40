#!/usr/bin/env bash
# From a fresh clone to a trained face model and a photo in 3D: installs into .venv, trains on
# synthetic faces, reconstructs a public-domain portrait. Takes under 15 minutes on two CPU cores.
# Usage: ./quickstart.sh [OUTPUT_DIR]
set -euo pipefail
cd "$(dirname "$0")"
output_dir="${1:-quickstart}"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
python3 -m venv .venv
.venv/bin/pip install --quiet -r requirements.txt
.venv/bin/python train.py --flagfile=configs/quickstart.cfg --output_dir="$output_dir"
portrait="$(.venv/bin/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png")')"
.venv/bin/python reconstruct.py --checkpoint="$output_dir" --input="$portrait" \
  --output_dir="$output_dir/portrait" --overwrite
echo "Open $output_dir/report.html and $output_dir/portrait/overview.png."
