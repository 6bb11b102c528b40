"""tensorflow-graphics' own rasteriser, compiled from the sources in its wheel.

The library inside the wheel was built for TensorFlow 2.7 and does not load today.
"""

import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tensorflow as tf


def compile_rasterizer() -> pathlib.Path:
    """Compiles the op, once for each version of TensorFlow and of the sources.

    Returns:
      The path of the shared library, in the user's cache folder, for `tf.load_op_library`.

    Raises:
      FileNotFoundError: there is no g++, or the system is not Linux.
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

    if not sys.platform.startswith("linux"):
        raise FileNotFoundError("tensorflow-graphics' rasteriser is compiled on Linux only")
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
