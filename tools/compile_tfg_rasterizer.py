"""Compiles tensorflow-graphics' own rasteriser from the sources in its wheel.

The library inside the wheel was built for TensorFlow 2.7 and does not load today. Tests compare our
rasteriser with this one, and `benchmarks/rasterizer.py` takes it as the peer; no product code does.

  python -m tools.compile_tfg_rasterizer
"""

import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile

import tensorflow as tf
from absl import app


def compile_rasterizer() -> pathlib.Path:
    """Compiles the op, once for each version of TensorFlow and of the sources.

    Returns:
      The path of the shared library, in the user's cache folder, for `tf.load_op_library`.

    Raises:
      FileNotFoundError: there is no g++.
      RuntimeError: it does not compile; with the compiler's message.
    """
    package = importlib.util.find_spec("tensorflow_graphics").submodule_search_locations[0]
    folder = pathlib.Path(package, "rendering", "kernels")
    sources = sorted(folder.glob("rasterize_triangles_*.cc"))
    digest = hashlib.sha256(tf.__version__.encode())
    for source in sources:
        digest.update(source.read_bytes())
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fml_tf"
    library = cache / f"tfg_rasterizer_{digest.hexdigest()[:16]}.so"
    if library.exists():
        return library

    compiler = shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("g++: not found; it is needed for tensorflow-graphics' rasteriser")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        built = pathlib.Path(scratch, library.name)
        command = [compiler, "-O3", "-shared", "-fPIC", *tf.sysconfig.get_compile_flags()]
        command += [*map(str, sources), "-o", str(built), *tf.sysconfig.get_link_flags()]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"g++ failed on {folder}:\n{result.stderr}")
        built.replace(library)
    return library


def main(argv):
    """Compiles, and prints where the library lies."""
    del argv
    print(compile_rasterizer())


if __name__ == "__main__":
    app.run(main)
