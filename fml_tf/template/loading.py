"""Chooses the reader of a template by name or by file."""

import pathlib

from fml_tf.template.face_template import FaceTemplate
from fml_tf.template.foreign_model import ForeignModel, make_template
from fml_tf.template.makehuman import load_makehuman


def load_template(name: str, resolution: str = "4k", mean: str = "average") -> FaceTemplate:
    """Loads the open template or one that the user brings.

    Args:
      name: "makehuman", or the path of a Basel Face Model (.mat of 2009, .h5 of 2017 and 2019), of
        a FLAME model (.pkl), or of an ICT-FaceKit model directory.
      resolution: "4k", "16k" or "60k"; of the open template only.
      mean: the open template's mean only.

    Raises:
      FileNotFoundError: no such file or directory.
      ValueError: a file of no known format, or a broken one; unknown resolution or mean.
    """
    if name == "makehuman":
        return load_makehuman(resolution, mean)
    return make_template(load_foreign_model(name))


def load_foreign_model(name: str) -> ForeignModel:
    """Reads a face model that the user brings; `name` and errors as of `load_template`."""
    path = pathlib.Path(name)
    if not path.exists():
        raise FileNotFoundError(f"template {name!r} is neither 'makehuman' nor a file or directory")
    # Readers of other formats need h5py and pickle shims that the default has no use for.
    if path.is_dir():
        from fml_tf.template.ict import read_ict_model

        return read_ict_model(path)
    if path.suffix in (".mat", ".h5"):
        from fml_tf.template.basel import read_bfm_model

        return read_bfm_model(path)
    if path.suffix == ".pkl":
        from fml_tf.template.flame import read_flame_model

        return read_flame_model(path)
    raise ValueError(f"{path}: a template is a .mat, .h5 or .pkl file or an ICT directory")
