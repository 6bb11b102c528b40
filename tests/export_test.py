"""The exported model, loaded as servers load it, beside the eager model."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from fake_data import PARAMETERS
from full_disk import full_disk
from loopback_server import RequestError, SavedModelSession
from tensorflow.core.protobuf import saved_model_pb2

import export
from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.models.saving import save_model
from fml_tf.serving import exporting
from fml_tf.serving.checks import MAX_PARAMETER
from fml_tf.serving.exporting import MODEL_FILE, SIGNATURES_FILE, export_model
from fml_tf.serving.precision import rounding_errors
from fml_tf.serving.signatures import OUTPUTS
from tools.export.check import deviation, owed
from tools.export.write_random_checkpoint import randomise
from tools.export.write_reference import example_mask, expected_outputs

SIZE = 96
SIGNATURES = {
    f"{name}{suffix}"
    for name in ("serving_default", "reconstruct", "identity", "image_bytes")
    for suffix in ("", "_masked")
} | {"geometry"}


@pytest.fixture(scope="module")
def model():
    model = build_model(ModelConfig(network_width=0.1, crop_size=SIZE, shape_size=6, albedo_size=5))
    randomise(model, seed=0)
    return model


@pytest.fixture(scope="module")
def directory(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports") / "fml" / "1"
    export_model(model, directory)
    return directory


@pytest.fixture(scope="module")
def session(directory):
    return SavedModelSession(directory)


@pytest.fixture(scope="module")
def loaded(directory):
    return tf.saved_model.load(str(directory))


def _frames(num_people, num_frames, seed=0):
    return np.random.default_rng(seed).random((num_people, num_frames, SIZE, SIZE, 3), np.float32)


def _encoded(frames):
    files = np.empty(frames.shape[:2], object)
    for index in np.ndindex(files.shape):
        files[index] = tf.io.encode_png(np.uint8(np.round(frames[index] * 255))).numpy()
    return files


def _assert_close(outputs, expected):
    assert set(outputs) == set(expected)
    for name, values in outputs.items():
        # A vertex that turns to the camera just now may count as visible or not.
        assert deviation(values, expected[name]) <= (1e-3 if name == "visible" else 1e-4), name


def test_signatures_are_portable_and_documented(session, directory):
    assert set(session.signatures) == SIGNATURES
    outputs = {name for signature in session.signatures.values() for name in signature.outputs}
    assert outputs == set(OUTPUTS)
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    functions = graph.library.function
    ops = {node.op for node in graph.node} | {n.op for f in functions for n in f.node_def}
    assert not {op for op in ops if "PyFunc" in op or "Xla" in op}
    assert not any(f.attr["_XlaMustCompile"].b for f in functions)
    text = (directory / SIGNATURES_FILE).read_text(encoding="utf-8")
    for name, signature in session.signatures.items():
        section = text.split(f"## {name}\n")[1].split("##")[0]
        for key in [*signature.inputs, *signature.outputs]:
            assert f"`{key}`" in section


def test_weights_stand_once_and_alone_in_the_file(model, directory):
    reader = tf.train.load_checkpoint(str(directory / "variables" / "variables"))
    sizes = [np.prod(s, dtype=int) for s in reader.get_variable_to_shape_map().values()]
    graph = model.face_model.graph
    of_the_template = model.expression_basis.basis.size + model.template.mean_shape.size
    of_the_template += graph.skinning_weights.size
    counted = sum(model.count_weights().values()) + of_the_template
    assert sum(sizes) == counted + 1  # and the object graph


@pytest.mark.parametrize("num_people", (1, 3))
@pytest.mark.parametrize("num_frames", (1, 2, 4))
def test_all_signatures_answer_as_the_eager_model(model, session, num_people, num_frames):
    frames = _frames(num_people, num_frames)
    everything, mask = np.ones((num_people, num_frames), bool), example_mask(num_people, num_frames)
    files = _encoded(frames)
    decoded = np.float32(np.uint8(np.round(frames * 255))) / 255
    expected, masked = (
        expected_outputs(model, frames, everything),
        expected_outputs(model, frames, mask),
    )
    for name in ("serving_default", "reconstruct", "identity"):
        _assert_close(session.predict(name, {"frames": frames}), owed(name, expected))
        request = {"frames": frames, "frame_mask": mask}
        _assert_close(session.predict(name + "_masked", request), owed(name, masked))
    of_files = expected_outputs(model, decoded, everything)
    outputs = session.predict("image_bytes", {"image_bytes": files})
    _assert_close(outputs, owed("image_bytes", of_files))
    outputs = session.predict("image_bytes_masked", {"image_bytes": files, "frame_mask": mask})
    _assert_close(outputs, owed("image_bytes", expected_outputs(model, decoded, mask)))
    outputs = session.predict("geometry", {name: expected[name] for name in PARAMETERS})
    _assert_close(outputs, owed("geometry", expected))


def test_deviation_lets_nothing_pass():
    expected = np.ones((2, 3), np.float32)
    assert deviation(expected, expected) == 0
    assert deviation(expected * 1.001, expected) == pytest.approx(1e-3, rel=1e-2)
    assert deviation(expected * np.nan, expected) == np.inf
    assert deviation(expected[:1], expected) == np.inf
    assert deviation(expected > 0, np.array([[True] * 3, [False] * 3])) == 0.5


def test_the_tf2_loader_gives_the_same(loaded, session):
    frames, mask = tf.constant(_frames(2, 2)), tf.constant(example_mask(2, 2))
    outputs = loaded.signatures["reconstruct_masked"](frames=frames, frame_mask=mask)
    request = {"frames": frames.numpy(), "frame_mask": mask.numpy()}
    expected = session.predict("reconstruct_masked", request)
    _assert_close({name: value.numpy() for name, value in outputs.items()}, expected)


def test_a_missing_file_under_the_mask_changes_nothing(session):
    files = _encoded(_frames(1, 3))
    alone = session.predict("image_bytes", {"image_bytes": files[:, :2]})
    files[0, 2] = b""
    request = {"image_bytes": files, "frame_mask": np.array([[True, True, False]])}
    padded = session.predict("image_bytes_masked", request)
    np.testing.assert_allclose(padded["shape"], alone["shape"], atol=1e-5)
    np.testing.assert_allclose(padded["expression"][:, :2], alone["expression"], atol=1e-5)


def test_jpeg_files_are_read_as_photos(session):
    jpeg = tf.io.encode_jpeg(np.full((SIZE, SIZE, 3), 128, np.uint8)).numpy()
    frames = np.full((1, 1, SIZE, SIZE, 3), 128 / 255, np.float32)
    ours = session.predict("image_bytes", {"image_bytes": np.array([[jpeg]], object)})
    _assert_close(ours, session.predict("serving_default", {"frames": frames}))


def _bad_requests():
    good, mask = _frames(2, 3), np.ones((2, 3), bool)
    nan = good.copy()
    nan[1, 2, 3, 4, 1] = np.nan
    png = tf.io.encode_png(np.zeros((SIZE, SIZE, 3), np.uint8)).numpy()
    jpeg = tf.io.encode_jpeg(np.zeros((SIZE, SIZE, 3), np.uint8)).numpy()
    wide = tf.io.encode_png(np.zeros((SIZE, 2 * SIZE, 3), np.uint8)).numpy()
    parameters = {
        "shape": np.zeros((1, 6), np.float32),
        "albedo": np.zeros((1, 5), np.float32),
        "rotation": np.zeros((1, 2, 3), np.float32),
        "translation": np.full((1, 2, 3), -1000, np.float32),
        "expression": np.zeros((1, 2, 26), np.float32),
        "illumination": np.zeros((1, 2, 9, 3), np.float32),
    }
    yield "serving_default", {"frames": good[:, :, :50]}, "frames: expected [B, M, 96, 96, 3]"
    yield "reconstruct", {"frames": good[0]}, "frames: expected [B, M, 96, 96, 3]"
    yield "identity", {"frames": good[:0]}, "B and M at least 1"
    yield "serving_default", {"frames": good[:, :0]}, "B and M at least 1"
    yield "serving_default", {"frames": good * 255}, "frames: expected RGB in [0, 1]"
    yield "serving_default", {"frames": good - 0.5}, "frames: expected RGB in [0, 1]"
    yield "serving_default", {"frames": nan}, "frames: expected finite"
    for wrong in (mask[:, :2], mask[:1], mask[0], mask & False):
        request = {"frames": good, "frame_mask": wrong}
        yield "reconstruct_masked", request, "frame_mask: expected"
    for files in ([b"no image"], [png[:-30]], [jpeg[:200]], [wide], [png, b""], []):
        request = {"image_bytes": np.array([[*files]], object)}
        yield "image_bytes", request, "image_bytes"
    request = {"image_bytes": np.array([[png, b""]], object), "frame_mask": mask[:1, :2]}
    yield "image_bytes_masked", request, "image_bytes: expected a file"
    for name, values in parameters.items():
        yield "geometry", parameters | {name: values[..., :2]}, f"{name}: expected"
        yield "geometry", parameters | {name: values * np.float32(np.nan)}, f"{name}: expected"
        yield "geometry", parameters | {name: values.repeat(2, axis=0)}, "the same B"
        # A number that overflows would reach all people of the request.
        person = np.concatenate([values, np.full_like(values, 1e20)])
        yield "geometry", parameters | {name: person}, f"{name}: expected finite numbers of at most"
    twice = parameters["rotation"].repeat(2, axis=1)
    yield "geometry", parameters | {"rotation": twice}, "the same M"
    empty = {name: parameters[name][:, :0] for name in PARAMETERS[2:]}
    yield "geometry", parameters | empty, " at least 1, got shape"
    for_nobody = {name: values[:0] for name, values in parameters.items()}
    yield "geometry", for_nobody, " at least 1, got shape"
    # The limit of frames, before anything is decoded.
    many = {name: parameters[name].repeat(33, axis=1) for name in PARAMETERS[2:]}
    yield "geometry", parameters | many, "expected at most 64 frames (B · M) in a request, got] [66"
    yield (
        "identity",
        {"frames": good[:, :1].repeat(33, axis=1)},
        "frames: expected at most 64 frames",
    )
    files = np.full((1, 65), b"no image", object)
    yield "image_bytes", {"image_bytes": files}, "image_bytes: expected at most 64 frames"


def test_bad_requests_are_told_what_was_expected_and_do_no_harm(session):
    good = {"frames": _frames(1, 2)}
    before = session.predict("serving_default", good)
    for name, request, message in _bad_requests():
        with pytest.raises(RequestError, match=re.escape(message)):
            session.predict(name, request)
    after = session.predict("serving_default", good)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_the_largest_parameters_of_one_person_do_not_touch_another(model, session):
    one = model.encode(_frames(1, 2), np.ones((1, 2), bool))
    alone = {name: values.numpy() for name, values in one.by_name().items()}
    beside = {n: np.concatenate([v, np.full_like(v, MAX_PARAMETER)]) for n, v in alone.items()}
    expected = session.predict("geometry", alone)
    outputs = session.predict("geometry", beside)
    _assert_close({name: values[:1] for name, values in outputs.items()}, expected)


def test_warmup_requests_cover_all_signatures_and_replay(session, directory):
    assert session.replay_warmup(directory) == len(SIGNATURES)


def test_rounding_errors_shrink_with_the_bits(model):
    errors = {dtype: rounding_errors(model, dtype) for dtype in exporting.DTYPES}
    assert not any(errors["float32"].values())
    for name in errors["float32"]:
        # Eight bits of mantissa against eleven: a factor of 8.
        assert errors["bfloat16"][name] == pytest.approx(8 * errors["float16"][name], rel=0.5)
    # Half a unit in the last of eight bits, relative to displacements of a few mm.
    assert 1e-4 < errors["bfloat16"]["vertex_error_mm_mean"] < 4.0 * 2**-8


def test_an_existing_version_and_odd_names_are_refused(model, directory):
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*"))
    with pytest.raises(ValueError, match="already"):
        export_model(model, directory)
    with pytest.raises(ValueError, match="number"):
        export_model(model, directory.parent / "newest")
    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*")) == before
    assert [path.name for path in directory.parent.iterdir()] == ["1"]


def test_an_export_that_fails_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(exporting, "write_warmup_requests", fail)
    with pytest.raises(OSError, match="disk full"):
        export_model(model, tmp_path / "fml" / "1")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "exp[1]*?"
    save_model(model, directory)
    return directory


def _run_script(*arguments):
    values = flags.FlagValues()
    export.define_flags(values)
    export.main(values(["export.py", *map(str, arguments)]), values)


def _refused(capsys, *arguments):
    """What the script says, in one line, when it refuses."""
    with pytest.raises(SystemExit) as error:
        _run_script(*arguments)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("export.py: ")


def test_the_script_tells_in_one_line_what_cannot_be_used(checkpoint, tmp_path, capsys):
    export_dir = f"--export_dir={tmp_path}/fml/1"
    line = _refused(capsys, f"--checkpoint={tmp_path}", export_dir)
    assert line.startswith(f"{tmp_path}: holds no model")
    line = _refused(capsys, f"--checkpoint={checkpoint}", export_dir, "float16")
    assert line == "unexpected arguments: float16"
    # A config that is not the weights': told with the names and sizes of what differs.
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    values = json.loads((other / "model.json").read_text())
    values["config"]["shape_size"] = 7
    (other / "model.json").write_text(json.dumps(values))
    line = _refused(capsys, f"--checkpoint={other}", export_dir)
    assert "does not fit the model" in line
    assert "face_model/shape_basis [1563, 7] (stored: [1563, 6])" in line
    assert not (tmp_path / "fml").exists()
    for place, reason in {
        f"{other}/model.json/1": f"{other}/model.json: not a folder",
        "/proc/fml/1": "/proc/fml: cannot be written to: No such file or directory",
        "fml[1]/1": "fml[1]/1: TensorFlow would not find what it writes to a folder with '[' in "
        "its name or in that of a folder above; give another",
        f"{tmp_path}/2": f"{tmp_path}/2: this version exists already; choose another number",
    }.items():
        (tmp_path / "2").unlink(missing_ok=True)
        (tmp_path / "2").symlink_to("nowhere")
        assert _refused(capsys, f"--checkpoint={tmp_path}", f"--export_dir={place}") == reason


@pytest.mark.parametrize("room", [0, 50_000, 1_000_000])  # bytes; less than the variables take
def test_a_full_disk_is_told_and_leaves_nothing(checkpoint, tmp_path, capsys, room):
    with full_disk(room):
        line = _refused(capsys, f"--checkpoint={checkpoint}", f"--export_dir={tmp_path}/new/fml/1")
    assert "File too large" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype, bits", (("bfloat16", 8), ("float16", 11)))
def test_the_script_exports_a_checkpoint_in_fewer_bits(model, checkpoint, tmp_path, dtype, bits):
    directory = tmp_path / "fml" / "7"
    _run_script(f"--checkpoint={checkpoint}", f"--export_dir={directory}", f"--dtype={dtype}")
    description = json.loads((directory / MODEL_FILE).read_text())
    assert description["bases_dtype"] == dtype and description["crop_size"] == SIZE
    frames, mask = _frames(1, 2), np.ones((1, 2), bool)
    expected = expected_outputs(model, frames, mask)
    outputs = SavedModelSession(directory).predict("reconstruct", {"frames": frames})
    parameters = {name: outputs[name] for name in PARAMETERS}
    _assert_close(parameters, owed("serving_default", expected))  # networks keep float32
    face_model = model.face_model
    nodes = face_model.node_displacements(tf.eye(face_model.config.shape_size)).numpy()
    nodes = nodes.reshape(-1, nodes.shape[-1]) * face_model.length_unit_mm
    for name, basis, coefficients in (
        ("neutral_vertices", nodes, parameters["shape"]),
        ("vertex_albedo", face_model.albedo_basis.numpy(), parameters["albedo"]),
    ):
        largest = np.max(np.abs(basis) @ np.abs(coefficients).T)
        error = np.abs(outputs[name] - expected[name]).max()
        assert 0 < error < 2**-bits * largest + 1e-5


def test_the_check_of_exports_needs_nothing_of_this_project():
    script = pathlib.Path(__file__).parents[1] / "tools" / "export" / "check.py"
    command = [sys.executable, "-I", script]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "usage: check.py NAME/VERSION REFERENCE.npz"
