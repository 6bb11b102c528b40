"""The public API: what `import fml_tf` gives, and its example in docs/reconstruction.md."""

import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fml_tf
from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.models.saving import save_model
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from tools.export.write_random_checkpoint import randomise

DOCS = pathlib.Path(__file__).parents[1] / "docs" / "reconstruction.md"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = build_model(ModelConfig(network_width=0.05, shape_size=4, albedo_size=4))
    randomise(model, seed=0)
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, directory)
    return directory


@pytest.fixture(scope="module")
def portrait():
    """A synthetic person's face, looking almost straight ahead."""
    frames, _ = FaceGenerator(FrameSettings(num_frames=1)).turning_clip(3, 3, size=360, yaw=2.0)
    return frames[1]


def test_importing_the_package_does_not_import_tensorflow():
    code = "import sys, fml_tf; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(fml_tf.__all__) == {"__version__", "load_model", "reconstruct"}
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        fml_tf.train  # noqa: B018 - the access is the test


def test_photos_as_arrays_and_as_files_give_the_same_face(saved, portrait, tmp_path):
    model = fml_tf.load_model(saved)
    path = tmp_path / "me.png"
    path.write_bytes(cv2.imencode(".png", portrait[..., ::-1])[1].tobytes())
    of_file = fml_tf.reconstruct(path, model)
    of_array = fml_tf.reconstruct([portrait], model)
    assert of_file.frames.names == ("me.png",) and of_array.frames.names == ("photo 0",)
    np.testing.assert_array_equal(
        of_file.faces.identity.neutral_vertices, of_array.faces.identity.neutral_vertices
    )
    chosen = fml_tf.reconstruct(path, model, detector=make_landmark_detector("auto"))
    np.testing.assert_array_equal(of_file.frames.crops, chosen.frames.crops)  # as reconstruct.py
    two = fml_tf.reconstruct([portrait, path], model)
    assert two.faces.vertices.shape[-1] == 2 and two.scan is None
    with pytest.raises(ValueError, match="none of 1 photos is a photo with a usable face"):
        fml_tf.reconstruct([portrait.astype(np.float32)], model)
    with pytest.raises(FileNotFoundError, match="none"):
        fml_tf.reconstruct(tmp_path / "none.jpg", model)


def test_the_example_of_the_docs_runs(saved, portrait, tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(import fml_tf\n.*?)```", DOCS.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").symlink_to(saved)
    (tmp_path / "me.jpg").write_bytes(cv2.imencode(".jpg", portrait[..., ::-1])[1].tobytes())
    names = {}
    exec(example, names)
    assert names["neutral"].shape[1:] == (3,)
    assert (tmp_path / "me.obj").is_file()
