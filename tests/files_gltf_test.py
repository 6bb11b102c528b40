import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pygltflib
import pytest
import trimesh

from fml_tf.files.gltf import glb_bytes, srgb_to_linear

NAMES = ("jawOpen", "eyeBlinkLeft", "tongueOut")


@pytest.fixture
def face():
    """A sphere of head size whose last face unit moves nothing, as an odd template's may."""
    rng = np.random.default_rng(0)
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=100.0)
    num_vertices = len(sphere.vertices)
    blendshapes = rng.normal(0.0, 5.0, (3, num_vertices, 3)).astype(np.float32)
    blendshapes[1, 10:] = 0.0
    blendshapes[2] = 0.0
    normals = sphere.vertices / 100.0
    moved = normals + 0.1 * np.sign(blendshapes)
    moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
    return {
        "vertices": np.asarray(sphere.vertices, np.float32),
        "triangles": np.asarray(sphere.faces),
        "albedo": rng.uniform(-0.1, 1.1, (num_vertices, 3)),
        "normals": normals,
        "uv": rng.uniform(0.0, 1.0, (num_vertices, 2)),
        "blendshapes": blendshapes,
        "blendshape_normals": moved - normals,
        "blendshape_names": NAMES,
    }


@pytest.fixture
def path(tmp_path, face):
    (tmp_path / "face.glb").write_bytes(glb_bytes(**face))
    return tmp_path / "face.glb"


def read_accessor(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """Decodes an accessor from the specification alone."""
    accessor = gltf.accessors[index]
    columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor.type]

    def view(index, dtype):
        view = gltf.bufferViews[index]
        data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        return np.frombuffer(data, dtype)

    dtype = {pygltflib.FLOAT: "<f4", pygltflib.UNSIGNED_INT: "<u4"}[accessor.componentType]
    values = np.zeros((accessor.count, columns), dtype)
    if accessor.bufferView is not None:
        values[:] = view(accessor.bufferView, dtype).reshape(-1, columns)
    if accessor.sparse is not None:
        rows = view(accessor.sparse.indices.bufferView, "<u4")
        assert (np.diff(rows.astype(int)) > 0).all()
        values[rows] = view(accessor.sparse.values.bufferView, dtype).reshape(-1, columns)
    return values


def test_trimesh_reads_it_back_in_metres(path, face):
    mesh = trimesh.load_mesh(path, process=False)
    np.testing.assert_allclose(mesh.vertices, face["vertices"] / 1000.0, atol=1e-7)
    np.testing.assert_array_equal(mesh.faces, face["triangles"])
    assert mesh.is_winding_consistent and mesh.volume > 0
    gltf = pygltflib.GLTF2().load(path)
    normals = read_accessor(gltf, gltf.meshes[0].primitives[0].attributes.NORMAL)
    np.testing.assert_allclose(normals, face["normals"], atol=1e-6)


def test_colours_are_linear_and_uv_points_down(path, face):
    gltf = pygltflib.GLTF2().load(path)
    attributes = gltf.meshes[0].primitives[0].attributes
    colours = read_accessor(gltf, attributes.COLOR_0)
    np.testing.assert_allclose(colours, srgb_to_linear(face["albedo"]), atol=1e-6)
    assert colours.min() == 0.0 and colours.max() == 1.0
    uv = read_accessor(gltf, attributes.TEXCOORD_0)
    np.testing.assert_allclose(uv[:, 0], face["uv"][:, 0], atol=1e-6)
    np.testing.assert_allclose(uv[:, 1], 1.0 - face["uv"][:, 1], atol=1e-6)


def test_srgb_to_linear_at_known_points():
    # 0.5 → 0.2140 and 188/255 → 0.5029: tabled values of the sRGB curve.
    np.testing.assert_allclose(
        srgb_to_linear(np.array([-1.0, 0.0, 0.02, 0.5, 188 / 255, 1.0, 3.0])),
        [0.0, 0.0, 0.02 / 12.92, 0.21404, 0.50289, 1.0, 1.0],
        atol=1e-5,
    )


def test_morph_targets_are_the_blendshapes_by_name(path, face):
    gltf = pygltflib.GLTF2().load(path)
    mesh = gltf.meshes[0]
    assert mesh.extras["targetNames"] == list(NAMES)
    assert mesh.weights == [0.0] * 3
    for target, displacement, normal_change in zip(
        mesh.primitives[0].targets, face["blendshapes"], face["blendshape_normals"], strict=True
    ):
        position = read_accessor(gltf, target["POSITION"])
        np.testing.assert_allclose(position, displacement / 1000.0, atol=1e-8)
        accessor = gltf.accessors[target["POSITION"]]
        np.testing.assert_array_equal(np.float32(accessor.min), position.min(axis=0))
        np.testing.assert_array_equal(np.float32(accessor.max), position.max(axis=0))
        np.testing.assert_allclose(
            read_accessor(gltf, target["NORMAL"]), normal_change, atol=1.01e-4
        )


def test_a_unit_that_moves_little_takes_little_room(face):
    def size(blendshapes):
        return len(glb_bytes(**face | {"blendshapes": blendshapes}))

    local = face["blendshapes"] * (np.arange(162) < 5)[:, None]
    assert size(face["blendshapes"]) - size(local) > 12 * (162 - 5)


def test_without_blendshapes_or_uv(tmp_path, face):
    basic = ("vertices", "triangles", "albedo", "normals")
    (tmp_path / "a.glb").write_bytes(glb_bytes(**{name: face[name] for name in basic}))
    gltf = pygltflib.GLTF2().load(tmp_path / "a.glb")
    assert gltf.meshes[0].primitives[0].attributes.TEXCOORD_0 is None
    assert not gltf.meshes[0].primitives[0].targets


@pytest.mark.external_data
def test_the_khronos_validator_finds_no_error(path, validate_glb):
    issues = validate_glb(path)["issues"]
    assert issues["numErrors"] == 0, issues["messages"]
    assert issues["numWarnings"] == 0, issues["messages"]


@pytest.mark.external_data
def test_the_khronos_validator_would_find_an_error(tmp_path, path, validate_glb):
    gltf = pygltflib.GLTF2().load(path)
    gltf.accessors[0].max = [0.0, 0.0, 0.0]
    gltf.save_binary(tmp_path / "broken.glb")
    assert validate_glb(tmp_path / "broken.glb")["issues"]["numErrors"] > 0


@pytest.fixture
def validate_glb():
    """Khronos' validator: `npm install gltf-validator` in a folder named in NODE_PATH."""
    script = """
      const fs = require('fs'), validator = require('gltf-validator');
      validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
        .then(report => console.log(JSON.stringify(report)))
    """
    folders = os.environ.get("NODE_PATH", "").split(os.pathsep)
    if not any(pathlib.Path(folder, "gltf-validator").is_dir() for folder in folders if folder):
        pytest.skip("npm's gltf-validator is not in NODE_PATH")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")

    def validate(path):
        result = subprocess.run(
            ["node", "-e", script, str(path)], capture_output=True, text=True, check=True
        )
        return json.loads(result.stdout)

    return validate
