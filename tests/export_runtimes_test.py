"""The model in other runtimes, beside the eager model."""

import numpy as np
import pytest
import tensorflow as tf
from fake_data import PARAMETERS

from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.serving.runtimes import write_litert, write_onnx
from fml_tf.serving.signatures import FaceService
from tools.export.check import deviation
from tools.export.write_random_checkpoint import randomise
from tools.export.write_reference import example_mask, expected_outputs

SIZE = 64


@pytest.fixture(scope="module")
def model():
    model = build_model(
        ModelConfig(network_width=0.05, crop_size=SIZE, shape_size=4, albedo_size=3)
    )
    randomise(model, seed=0)
    return model


def _check(model, regress, geometry, num_people, num_frames):
    """Both functions on random frames, against the eager model."""
    rng = np.random.default_rng((num_people, num_frames))
    frames = rng.random((num_people, num_frames, SIZE, SIZE, 3), np.float32)
    mask = example_mask(num_people, num_frames)
    expected = expected_outputs(model, frames, mask)
    parameters = regress({"frames": frames, "frame_mask": mask})
    assert set(parameters) == set(PARAMETERS)
    faces = geometry({name: expected[name] for name in PARAMETERS})
    assert set(faces) == set(expected) - set(PARAMETERS)
    for name, values in (parameters | faces).items():
        # A vertex that turns to the camera just now may count as visible or not.
        assert deviation(values, expected[name]) <= (1e-3 if name == "visible" else 1e-4), name


def test_litert(model, tmp_path):
    write_litert(FaceService(model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fml.tflite"]
    interpreter = tf.lite.Interpreter(str(tmp_path / "fml.tflite"))
    runners = [interpreter.get_signature_runner(name) for name in ("regress", "geometry")]
    regress, geometry = (lambda inputs, run=runner: run(**inputs) for runner in runners)
    for num_frames in (1, 3):
        _check(model, regress, geometry, 1, num_frames)


def test_onnx(model, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra `runtimes`")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `runtimes`")
    write_onnx(FaceService(model), tmp_path)

    def load(name):
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs)))

    for num_people, num_frames in ((1, 1), (3, 2)):
        _check(model, load("regress"), load("geometry"), num_people, num_frames)
