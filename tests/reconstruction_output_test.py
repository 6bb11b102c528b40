import dataclasses
import functools
import os

import cv2
import keras
import numpy as np
import pygltflib
import pytest
import tensorflow as tf
from video_files import encode, images

from datasets.video_faces.dummy_videos import write_video
from fml_tf.config import ModelConfig
from fml_tf.files.meshes import read_mesh
from fml_tf.files.video import read_frames
from fml_tf.geometry.crop import CropTransform, crop_image
from fml_tf.models.building import build_model
from fml_tf.reconstruction.edits import drive, frontal_neutral, relight
from fml_tf.reconstruction.inputs import FaceFrames, VideoScan
from fml_tf.reconstruction.output import overview, write_reconstruction, write_relit
from fml_tf.reconstruction.reconstruction import Follower, reconstruct_frames
from fml_tf.reconstruction.video import (
    place_overlay,
    write_driven_video,
    write_overlay_video,
)
from fml_tf.rendering.illumination import shade
from fml_tf.rendering.pictures import render_frame_pictures
from fml_tf.rendering.pose import rotate, rotation_matrix
from fml_tf.template.inner_parts import inner_parts

SIZE = 96


def random_model():
    """A tiny untrained model whose heads, which start at zero, were given something to say."""
    keras.utils.set_random_seed(1)  # not 0: see Trainer
    model = build_model(
        ModelConfig(network_width=0.05, crop_size=SIZE, shape_size=6, albedo_size=5)
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "head" in weight.path and "kernel" in weight.path:
            weight.assign(rng.normal(size=weight.shape, scale=0.01))
        if "shape_basis" in weight.path or "albedo_basis" in weight.path:
            weight.assign(rng.normal(size=weight.shape, scale=0.03))
    return model


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def frames():
    crops = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    return FaceFrames(
        names=("a.jpg", "b.jpg", "c.jpg"),
        numbers=np.arange(3, dtype=np.int32),
        crops=crops,
        transforms=tuple(CropTransform(10 * m, -5, 200, SIZE) for m in range(3)),
        landmarks=np.zeros((3, 66, 2), np.float32),
        confidence=np.ones((3, 66), np.float32),
    )


def scan_of(path, num_frames, transforms):
    count = len(transforms)
    return VideoScan(
        path=path,
        num_frames=num_frames,
        transforms=transforms,
        landmarks=np.zeros((count, 66, 2), np.float32),
        confidence=np.ones((count, 66), np.float32),
        rotations=np.zeros((count, 3)),
        sharpness=np.ones(count),
    )


@pytest.fixture(scope="module")
def reconstruction(model, frames):
    return reconstruct_frames(model, frames)


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, reconstruction):
    directory = tmp_path_factory.mktemp("written")
    write_reconstruction(directory, reconstruction, model)
    return directory


def test_every_file_is_written(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "face.glb",
        "frame_0000.obj",
        "frame_0001.obj",
        "frame_0002.obj",
        "identity.obj",
        "landmarks_3d.npy",
        "overview.png",
        "parameters.npz",
        "viewer.html",
    ]


def test_identity_and_landmarks(written, model, reconstruction):
    mesh = read_mesh(written / "identity.obj")
    template = model.template
    np.testing.assert_allclose(
        mesh.vertices, reconstruction.faces.identity.neutral_vertices[..., 0], atol=1e-4
    )
    np.testing.assert_array_equal(mesh.faces, template.triangles)
    albedo = np.clip(reconstruction.faces.identity.albedo[..., 0], 0.0, 1.0)
    np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3] / 255.0, albedo, atol=0.51 / 255)
    landmarks = np.load(written / "landmarks_3d.npy")
    assert landmarks.shape == (66, 3)
    np.testing.assert_allclose(landmarks, mesh.vertices[template.landmark_vertices], atol=1e-4)
    # The person's left is +x, brows are above the chin, the nose is in front of the ears.
    assert landmarks[16, 0] > landmarks[0, 0] and landmarks[19, 1] > landmarks[8, 1]
    assert landmarks[30, 2] > landmarks[0, 2]


def test_the_parameters_alone_give_the_frames_meshes(written, model):
    with np.load(written / "parameters.npz") as archive:
        values = dict(archive)
    assert values["frame_names"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert values["crop_size"].tolist() == [SIZE, SIZE]
    np.testing.assert_allclose(
        values["crop_transform"][2] @ [20.0 + 200.0, -5.0, 1.0], [SIZE, 0.0], atol=1e-9
    )
    basis = model.expression_basis.basis
    assert values["expression"].shape == (3, len(basis))
    identity = read_mesh(written / "identity.obj").vertices
    for m in range(3):
        vertices = identity + np.tensordot(values["expression"][m], basis, 1)
        rotation = rotation_matrix(values["rotation"][m][None])
        rotated = rotate(tf.constant(vertices[..., None], tf.float32), rotation)
        posed = rotated + values["translation"][m][:, None]
        written_vertices = read_mesh(written / f"frame_{m:04d}.obj").vertices
        np.testing.assert_allclose(written_vertices, posed[..., 0], atol=2e-3)


def test_the_glb_holds_the_identity_with_eyes_and_mouth_and_the_blendshapes(written, model):
    gltf = pygltflib.GLTF2().load(written / "face.glb")
    mesh = gltf.meshes[0]
    assert mesh.extras["targetNames"] == list(model.template.blendshape_names)
    assert len(mesh.primitives[0].targets) == len(model.template.blendshapes) == 52
    identity = read_mesh(written / "identity.obj")
    parts = inner_parts(np.float32(identity.vertices), model.template)
    for k, target in enumerate(mesh.primitives[0].targets):
        accessor = gltf.accessors[target["POSITION"]]
        moved = (model.template.blendshapes[k], parts.blendshapes[k])
        displacement = np.concatenate(moved) / 1000.0
        np.testing.assert_allclose(accessor.max, displacement.max(axis=0), atol=1e-7)
        np.testing.assert_allclose(accessor.min, displacement.min(axis=0), atol=1e-7)
    loaded = read_mesh(written / "face.glb")
    everything = np.concatenate([identity.vertices, parts.vertices])
    np.testing.assert_allclose(1000.0 * loaded.vertices, everything, atol=1e-3)


def test_the_overview_has_a_row_for_each_frame(written, frames):
    image = cv2.imread(str(written / "overview.png"))[..., ::-1]
    height = image.shape[0] // 3
    assert image.shape[1] == 5 * SIZE and height > SIZE
    for m in range(3):
        end = image.shape[0] - (2 - m) * (SIZE + 22)
        np.testing.assert_array_equal(image[end - SIZE : end, :SIZE], frames.crops[m])


def test_following_keeps_the_identity_and_agrees_with_encoding(model, frames, reconstruction):
    others = np.random.default_rng(2).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    crops = np.concatenate([others, frames.crops[1:]])
    marks = np.zeros((4, 66, 2)), np.ones((4, 66))
    followed = Follower(model, reconstruction).follow(crops, *marks)
    parameters = reconstruction.parameters
    for name, values in parameters.identity.items():
        np.testing.assert_allclose(followed.identity[name], values, atol=1e-5)
    for name, values in parameters.frame.items():
        np.testing.assert_allclose(followed.frame[name][:, 2:], values[:, 1:], rtol=1e-4, atol=1e-4)
    assert np.abs(followed.rotation[:, 0] - followed.rotation[:, 1]).max() > 1e-5


def test_an_overlay_lands_where_the_crop_was(model, reconstruction):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 280, 3), np.uint8)
    transform = CropTransform(left=60, top=-40, source_width=2 * SIZE, size=SIZE)
    vertices = reconstruction.faces.vertices[..., 0].numpy()
    colours = reconstruction.faces.colours[..., 0].numpy()
    result = place_overlay(image, vertices, colours, transform, model)
    pictures = render_frame_pictures(
        crop_image(image, transform), reconstruction.faces, 0, 0, model.template, model.camera
    )
    drawn = np.abs(crop_image(result, transform).astype(int) - pictures["overlay"])
    inside = slice(20, SIZE), slice(0, SIZE)  # rows that the image has
    assert drawn[inside].mean() < 3.0
    assert np.abs(result.astype(int) - image)[:152, 60:252].mean() > 20.0
    outside = np.ones(image.shape[:2], bool)
    outside[:152, 60:252] = False
    np.testing.assert_array_equal(result[outside], image[outside])


def test_a_large_face_is_rendered_small_and_scaled_up(model, reconstruction):
    image = np.zeros((1000, 1000, 3), np.uint8)
    vertices = reconstruction.faces.vertices[..., 0].numpy()
    white = np.ones_like(vertices)
    result = place_overlay(image, vertices, white, CropTransform(50, 60, 900, SIZE), model)
    small = place_overlay(image, vertices, white, CropTransform(50, 60, 300, SIZE), model)
    large_share = (result[60:960, 50:950] > 127).mean()
    assert large_share == pytest.approx((small[60:360, 50:350] > 127).mean(), rel=0.02)
    assert large_share > 0.1


def test_the_overlay_video_has_every_frame_and_leaves_faceless_ones(
    tmp_path, model, reconstruction, monkeypatch
):
    monkeypatch.setattr("fml_tf.reconstruction.video._CHUNK", 2)
    source = [np.full((120, 150, 3), 5 * n + 20, np.uint8) for n in range(5)]
    write_video(tmp_path / "clip.mp4", source)
    box = CropTransform(left=20, top=10, source_width=100, size=SIZE)
    scan = scan_of(tmp_path / "clip.mp4", 5, {0: box, 3: box, 4: box})
    write_overlay_video(tmp_path / "overlay.mp4", model, scan, Follower(model, reconstruction))
    before = images(read_frames(tmp_path / "clip.mp4"))
    after = images(read_frames(tmp_path / "overlay.mp4"))
    assert list(after) == list(before)
    for number in before:
        changed = np.abs(after[number].astype(int) - before[number]).mean(axis=-1)
        assert changed[110:].max() < 25  # outside of the crop: compression only
        assert (changed.max() > 50) == (number in scan.transforms)


def test_the_overlay_video_keeps_the_times_and_the_size_of_the_first_picture(
    tmp_path, model, reconstruction
):
    times = [0.0, 0.04, 0.08, 0.5, 0.55, 0.95]
    grey = np.full((64, 96, 3), 120, np.uint8)
    path = encode(tmp_path / os.fsdecode(b"caf\xe9.mp4"), [grey] * 6, times=times)
    scan = scan_of(path, 6, {})
    write_overlay_video(tmp_path / "overlay.mp4", model, scan, Follower(model, reconstruction))
    overlay = list(read_frames(tmp_path / "overlay.mp4"))
    np.testing.assert_allclose([frame.seconds for frame in overlay], times, atol=1e-3)

    parts = [
        encode(tmp_path / f"{n}.ts", [np.full((n, n, 3), 120, np.uint8)] * 3) for n in (64, 96)
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    scan = scan_of(path, 6, {})
    write_overlay_video(tmp_path / "overlay.mp4", model, scan, Follower(model, reconstruction))
    overlay = list(read_frames(tmp_path / "overlay.mp4"))
    assert [frame.image.shape for frame in overlay] == [(64, 64, 3)] * 6
    assert all(np.abs(frame.image.astype(int) - 120).max() < 4 for frame in overlay)


def test_driving_takes_the_expression_and_relighting_the_light(model, reconstruction):
    person = reconstruction.parameters
    rng = np.random.default_rng(3)
    driver = person.map_frames(
        lambda values: tf.constant(rng.normal(size=(1, 2, *values.shape[2:])), tf.float32)
    ).map_identity(lambda values: values + 1.0)
    driven = drive(person, driver)
    for name in ("rotation", "translation", "expression"):
        np.testing.assert_array_equal(driven.frame[name], driver.frame[name])
    for name, values in person.identity.items():
        np.testing.assert_array_equal(driven.identity[name], values)
    light = np.mean(person.illumination, axis=1, keepdims=True)
    np.testing.assert_allclose(driven.illumination, np.repeat(light, 2, axis=1), atol=1e-6)
    relit = relight(person, driver.illumination[:, 1:])
    assert relit.illumination.shape == (1, 3, 9, 3)
    np.testing.assert_array_equal(relit.illumination[:, 2], driver.illumination[:, 1])
    np.testing.assert_array_equal(relit.rotation, person.rotation)


def test_the_frontal_neutral_face_looks_ahead(model, reconstruction):
    front = model.decode(frontal_neutral(reconstruction.parameters, model.initial_translation))
    neutral = reconstruction.faces.identity.neutral_vertices + model.initial_translation[:, None]
    np.testing.assert_allclose(front.vertices, neutral, atol=1e-3)
    light = np.mean(reconstruction.parameters.illumination[0], axis=0)
    expected = shade(front.identity.albedo, front.normals, tf.constant(light[None]))
    np.testing.assert_allclose(front.colours, expected, atol=1e-5)


def test_the_overview_starts_with_the_frontal_face(model, reconstruction):
    picture = overview(reconstruction, model)
    assert picture.shape == (22 + 4 * (22 + SIZE), 5 * SIZE, 3)
    first = picture[44 : 44 + SIZE].reshape(SIZE, 5, SIZE, 3)
    blank = first[:, 0]
    assert np.ptp(blank) == 0
    drawn = [(np.abs(first[:, c].astype(int) - blank).max(axis=-1) > 20).mean() for c in (1, 2, 3)]
    assert min(drawn) > 0.1


def test_relighting_changes_the_face_and_nothing_else(tmp_path, model, reconstruction):
    light = np.zeros((1, 3, 9, 3), np.float32)
    light[..., 0, :], light[..., 3, :] = 2.0, 1.5  # from the image's right
    parameters = relight(reconstruction.parameters, light)
    bright = dataclasses.replace(reconstruction, parameters=parameters)
    write_relit(tmp_path / os.fsdecode(b"caf\xe9.png"), reconstruction, model, bright)
    encoded = np.fromfile(tmp_path / os.fsdecode(b"caf\xe9.png"), np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert picture.shape == (22 + 3 * (22 + SIZE), 4 * SIZE, 3)
    light, crop, overlay, relit = np.split(picture[44 : 44 + SIZE], 4, axis=1)
    np.testing.assert_array_equal(light, reconstruction.frames.crops[0])
    np.testing.assert_array_equal(crop, reconstruction.frames.crops[0])
    outside = (overlay == crop).all(axis=-1)
    np.testing.assert_array_equal(relit[outside], crop[outside])
    right, left = relit[:, SIZE // 2 :], relit[:, : SIZE // 2]
    inside = ~outside
    assert right[inside[:, SIZE // 2 :]].mean() > left[inside[:, : SIZE // 2]].mean() + 30


def test_a_driven_video_has_a_frame_for_each_face_at_its_time(
    tmp_path, model, frames, reconstruction, monkeypatch
):
    monkeypatch.setattr("fml_tf.reconstruction.video._CHUNK", 2)
    grey = [np.full((120, 150, 3), 40 * n + 40, np.uint8) for n in range(4)]
    path = encode(tmp_path / "driver.mp4", grey, times=[0.0, 0.1, 0.4, 0.5])
    box = CropTransform(left=20, top=10, source_width=SIZE, size=SIZE)
    scan = scan_of(path, 4, {0: box, 2: box, 3: box})
    edit = functools.partial(drive, reconstruction.parameters)
    write_driven_video(tmp_path / "driven.mp4", model, edit, scan, Follower(model, reconstruction))
    driven = list(read_frames(tmp_path / "driven.mp4"))
    np.testing.assert_allclose([frame.seconds for frame in driven], [0.0, 0.4, 0.5], atol=1e-3)
    for frame, level in zip(driven, (40, 120, 160), strict=True):
        assert frame.image.shape == (SIZE, 2 * SIZE, 3)
        assert np.abs(frame.image[:, : SIZE - 4].astype(int) - level).max() < 8
        face = np.abs(frame.image[:, SIZE + 4 :].astype(int) - 237).max(axis=-1) > 30
        assert 0.1 < face.mean() < 0.9
