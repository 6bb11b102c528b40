import types

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.pictures import BACKGROUND, render_face, render_frame_pictures, shading
from fml_tf.structures import DecodedFaces, Identity

CAMERA = PerspectiveCamera(focal_length_px=180.0, width=60, height=48)
SPHERE = trimesh.creation.icosphere(subdivisions=4, radius=100.0)
NORMALS = SPHERE.vertices / 100.0
CENTRE = np.array([0.0, 0.0, -1000.0])
RIGHT = np.array([1.0, 0.0, 0.0])
ALBEDO = np.array([0.6, 0.4, 0.2])


def template(face=None, triangles=SPHERE.faces):
    face = np.ones(len(SPHERE.vertices), bool) if face is None else face
    return types.SimpleNamespace(triangles=np.int32(triangles), regions={"face": face})


def decoded(light=1.0, num_frames=1):
    """A sphere with one albedo under even light; frame n stands 40 n mm further right."""
    shift = np.stack([CENTRE + 40.0 * n * RIGHT for n in range(num_frames)], axis=-1)
    repeated = np.repeat(NORMALS[..., None], num_frames, axis=-1)
    albedo = np.tile(ALBEDO[:, None], (len(NORMALS), 1, 1))
    values = {
        "displacements": np.zeros((1, 3, 1)),
        "vertices": SPHERE.vertices[..., None] + shift,
        "normals": repeated,
        "positions": np.zeros((1, 2, 1)),
        "colours": np.repeat(albedo * light, num_frames, axis=-1),
        "visible": np.zeros((1, 1), bool),
    }
    identity = Identity(
        neutral_vertices=tf.constant(np.float32(SPHERE.vertices[..., None])),
        albedo=tf.constant(np.float32(albedo)),
    )
    return DecodedFaces(
        identity=identity,
        **{k: tf.constant(v if v.dtype == bool else np.float32(v)) for k, v in values.items()},
    )


def test_a_sphere_covers_the_disc_that_perspective_gives_it():
    values, coverage = render_face(
        np.float32(SPHERE.vertices + CENTRE), np.float32(NORMALS), template(), CAMERA
    )
    radius = 180.0 * 100.0 / np.sqrt(1000.0**2 - 100.0**2)
    assert coverage.sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert coverage.shape == (48, 60) and values.shape == (48, 60, 3)
    assert ((coverage > 0) & (coverage < 1)).any()  # a smooth edge
    np.testing.assert_allclose(values[24, 30], [0.0, 0.0, 1.0], atol=0.05)
    # Up in the picture is up in the world, right is right.
    assert values[10, 30, 1] > 0.6 and values[24, 44, 0] > 0.6


def test_even_light_gives_albedo_shading_and_input_around():
    frame = np.random.default_rng(0).uniform(size=(48, 60, 3)).astype(np.float32)
    pictures = render_frame_pictures(frame, decoded(light=1.2), 0, 0, template(), CAMERA)
    assert set(pictures) == {"input", "overlay", "geometry", "albedo", "shading"}
    assert all(p.shape == (48, 60, 3) and p.dtype == np.uint8 for p in pictures.values())
    centre, corner = (24, 30), (2, 2)
    np.testing.assert_allclose(pictures["albedo"][centre], 255 * ALBEDO, atol=1)
    np.testing.assert_allclose(pictures["overlay"][centre], 255 * 1.2 * ALBEDO, atol=1)
    np.testing.assert_allclose(pictures["shading"][centre], 255 * 0.75 * 1.2, atol=1)
    np.testing.assert_allclose(pictures["overlay"][corner], 255 * frame[corner], atol=1)
    for name in ("geometry", "albedo", "shading"):
        np.testing.assert_allclose(pictures[name][corner], 255 * BACKGROUND, atol=1)
    geometry = pictures["geometry"].astype(int)
    assert (np.ptp(geometry, axis=-1) == 0).all()
    assert geometry[16, 36, 0] > geometry[24, 30, 0] > geometry[32, 20, 0]


def test_frame_index_chooses_the_frame():
    faces = decoded(num_frames=2)
    frame = np.zeros((48, 60, 3), np.uint8)
    first, second = (
        render_frame_pictures(frame, faces, n, 0, template(), CAMERA)["overlay"][..., 0] > 0
        for n in range(2)
    )
    columns = np.arange(60)
    moved = (second.sum(0) @ columns / second.sum()) - (first.sum(0) @ columns / first.sum())
    assert moved == pytest.approx(180.0 * 40.0 / 1000.0, abs=0.3)


def test_only_the_face_region_shows_yet_the_rest_hides_it():
    attributes = np.ones((len(NORMALS), 1), np.float32)
    vertices = np.float32(SPHERE.vertices + CENTRE)
    right = NORMALS[:, 0] > 0.0
    _, coverage = render_face(vertices, attributes, template(right), CAMERA)
    assert coverage[:, :29].sum() == 0.0
    assert coverage[24, 32:44].min() == 1.0
    back = NORMALS[:, 2] < -0.5
    values, coverage = render_face(vertices, attributes, template(back), CAMERA)
    assert coverage.sum() == 0.0 and values.sum() == 0.0


def test_surfaces_seen_from_inside_do_not_show():
    inside_out = template(triangles=SPHERE.faces[:, ::-1])
    front = NORMALS[:, 2] > 0.2
    inside_out.regions["face"] = front
    _, coverage = render_face(
        np.float32(SPHERE.vertices + CENTRE),
        np.ones((len(NORMALS), 1), np.float32),
        inside_out,
        CAMERA,
    )
    assert coverage.sum() == 0.0


def test_shading_divides_out_any_albedo_but_zero():
    albedo = np.array([[0.5, -0.1, 0.0]])
    np.testing.assert_allclose(shading(albedo * 0.8, albedo), [[0.8, 0.8, 0.0]])
