#!/usr/bin/env bash
# From a fresh clone to a photo in 3D, then to a face model of your own: installs into .venv,
# reconstructs a public-domain portrait with the model that ships, trains a small one on synthetic
# faces, and reconstructs the portrait with that, too. Takes under 15 minutes on two CPU cores; the
# first portrait is there within 3.
# Usage: ./quickstart.sh [OUTPUT_DIR]
set -euo pipefail
cd "$(dirname "$0")"
output_dir="${1:-quickstart}"
python3 -m venv .venv
.venv/bin/pip install --quiet -r requirements.txt
portrait="$(.venv/bin/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png")')"
.venv/bin/python reconstruct.py --input="$portrait" --output_dir="$output_dir/portrait" --overwrite
echo "Open $output_dir/portrait/viewer.html. Now a small model is trained."
.venv/bin/python train.py --flagfile=configs/quickstart.cfg --output_dir="$output_dir"
.venv/bin/python reconstruct.py --checkpoint="$output_dir" --input="$portrait" \
  --output_dir="$output_dir/portrait_quickstart" --overwrite
echo "Open $output_dir/report.html, and $output_dir/portrait_quickstart/overview.png beside $output_dir/portrait/overview.png."
