"""Both rendering backends yield the same values and gradients, and those are right."""

import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
import trimesh

from fml_tf.geometry.normals import build_one_ring
from fml_tf.rendering import tfg_rasterizer
from fml_tf.rendering.backend import RENDERING_BACKENDS, RenderingBackend, get_backend
from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.fast import FAST
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.rendering.image_formation import form_faces
from fml_tf.rendering.pictures import render_face
from fml_tf.rendering.rasterizer import rasterize
from fml_tf.rendering.tfg import TfgBackend, build_backend
from fml_tf.structures import FaceParameters
from fml_tf.xla import without_xla

TFG = TfgBackend()  # with our rasteriser
CAMERA = PerspectiveCamera(focal_length_px=150.0, width=60, height=50)
BALL = trimesh.creation.icosphere(subdivisions=2, radius=90.0)
TRIANGLES = np.asarray(BALL.faces, np.int32)
CENTRES = np.array([[10.0, -5.0, -600.0], [-90.0, 30.0, -900.0]])  # the second leaves the crop


@pytest.fixture(scope="session")
def own():
    """The backend with tensorflow-graphics' own rasteriser."""
    try:
        library = tfg_rasterizer.compile_rasterizer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return TfgBackend(tf.load_op_library(str(library)))


def balls(dtype=np.float32):
    """[V, 3, 2], a bumpy ball in two places."""
    rng = np.random.default_rng(5)
    bumpy = BALL.vertices * rng.normal(1.0, 0.03, [len(BALL.vertices), 1])
    return np.stack([bumpy + centre for centre in CENTRES], axis=-1).astype(dtype)


def colours(dtype=np.float32):
    """[V, 3, 2], smooth over the ball, with a little of its own at each vertex."""
    rng = np.random.default_rng(6)
    smooth = 0.5 + 0.4 * BALL.vertices / 90.0
    return (smooth[..., None] + rng.normal(0, 0.05, [*smooth.shape, 2])).astype(dtype)


def value_and_gradients(function, *arguments):
    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        result = function(*arguments)
    return result, [tf.convert_to_tensor(g) for g in tape.gradient(result, arguments)]


def assert_near(ours, expected, tolerance):
    """Equal up to a share of the largest."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, atol=tolerance * scale, rtol=0)


def test_names():
    assert [type(get_backend(name)).__name__ for name in RENDERING_BACKENDS] == [
        "FastBackend",
        "TfgBackend",
    ]
    assert all(get_backend(name) is get_backend(name) for name in RENDERING_BACKENDS)
    with pytest.raises(ValueError, match="'opengl': not one of fast, tfg"):
        get_backend("opengl")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projections_are_equal_behind_the_camera_too(dtype):
    points = np.random.default_rng(0).normal([0, 0, -600], 60, [30, 2, 3]).swapaxes(1, 2)
    points[0, 2] = [0.0, 5.0]
    points[1, 2] = -0.5
    weights = np.random.default_rng(1).normal(size=[30, 2, 2])

    def projected(backend):
        return value_and_gradients(
            lambda p: backend.project(p, CAMERA) * weights, points.astype(dtype)
        )

    (expected, expected_gradients), (found, gradients) = projected(FAST), projected(TFG)
    assert found.dtype == dtype
    assert_near(found, expected, 1e-6)
    assert_near(gradients[0], expected_gradients[0], 1e-6)


NORMALS = np.random.default_rng(2).normal(size=[300, 3, 2])
# Facing the camera, facing away, and ever nearer to it.
NEAR_POLE = [[0, 0, 1], [0, 0, -1], [1e-2, 0, 1], [0, -1e-3, 1], [1e-5, 0, -1], [-1e-6, 0, 1]]
NORMALS[:6, :, 0] = NEAR_POLE
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)


def shaded(backend, dtype):
    """Value and gradients of a loss of shaded colours, through normals of a fixed length."""
    rng = np.random.default_rng(3)
    albedo, light = rng.uniform(size=NORMALS.shape), rng.normal(size=[2, 9, 3])
    weights = rng.normal(size=NORMALS.shape)

    def colours_of(albedo, normals, light):
        normals /= tf.norm(normals, axis=1, keepdims=True)
        return backend.shade(albedo, normals, light) * weights

    arguments = [values.astype(dtype) for values in (albedo, NORMALS, light)]
    return value_and_gradients(colours_of, *arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shaded_colours_are_equal_at_normals_that_face_the_camera_too(dtype):
    expected, (albedo, normals, light) = shaded(FAST, dtype)
    found, (their_albedo, their_normals, their_light) = shaded(TFG, dtype)
    assert found.dtype == dtype
    assert_near(found, expected, 2e-6)
    assert_near(their_albedo, albedo, 5e-6)
    assert_near(their_light, light, 5e-6)
    assert_near(their_normals[6:], normals[6:], 5e-6)
    for n in range(6):  # one by one, so that a small gradient is not hidden by large ones
        assert_near(their_normals[n, :, 0], normals[n, :, 0], 1e-4)


def test_image_formation_is_equal_and_so_are_its_gradients():
    """From the parameters to vertices, positions and colours, in one graph."""
    rng = np.random.default_rng(4)
    num_vertices, one_ring = len(BALL.vertices), build_one_ring(TRIANGLES, len(BALL.vertices))
    values = {
        "vertices": balls()[..., :1] - np.float32(CENTRES[0])[:, None],
        "albedo": colours()[..., :1],
        "displacements": rng.normal(0, 2, [num_vertices, 3, 2]),
        "rotation": np.array([[[0, 0, 0], [0.3, -0.2, 0.1]]]),
        "translation": CENTRES[None],
        "illumination": ambient_illumination() + rng.normal(0, 0.1, [1, 2, 9, 3]),
    }
    values = {name: tf.constant(value, tf.float32) for name, value in values.items()}
    weights = [tf.constant(rng.normal(size=[num_vertices, size, 2]), tf.float32) for size in (2, 3)]

    def form(backend):
        @tf.function
        def run(values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                frame = {name: values[name] for name in ("rotation", "translation", "illumination")}
                parameters = FaceParameters(identity={}, frame=frame)
                faces = form_faces(
                    values["vertices"],
                    values["albedo"],
                    values["displacements"],
                    parameters,
                    one_ring,
                    CAMERA,
                    backend,
                )
                positions, shades = faces[2], faces[3]
                loss = tf.reduce_sum(weights[0] * positions / 60) + tf.reduce_sum(
                    weights[1] * shades**2
                )
            return faces, tape.gradient(loss, values)

        return run(values)

    with without_xla():  # compiling takes longer than all else here
        (expected, expected_gradients), (found, gradients) = form(FAST), form(TFG)
    for ours, theirs in zip(found[:4], expected[:4]):
        assert_near(ours, theirs, 3e-6)
    np.testing.assert_array_equal(found[4], expected[4])
    for name, gradient in gradients.items():
        assert_near(gradient, expected_gradients[name], 2e-5)


@tf.function
def draw(backend, vertices, attributes, weights, cull_backfaces):
    """Picture, coverage and gradients in vertices and attributes of a loss of the picture."""
    with tf.GradientTape() as tape:
        tape.watch([vertices, attributes])
        picture, coverage = backend.render(vertices, attributes, TRIANGLES, CAMERA, cull_backfaces)
        loss = tf.reduce_sum(weights * picture**2)
    gradients = tape.gradient(loss, [vertices, attributes])
    return picture, coverage, [tf.convert_to_tensor(gradient) for gradient in gradients]


def drawn(backend, weights, cull_backfaces=False, dtype=np.float32):
    arguments = [tf.constant(values.astype(dtype)) for values in (balls(dtype), colours(dtype))]
    return draw(backend, *arguments, tf.constant(weights, dtype), cull_backfaces)


@pytest.mark.parametrize("cull_backfaces", [False, True])
def test_pixels_are_equal_and_so_are_their_gradients(cull_backfaces):
    weights = np.random.default_rng(7).uniform(size=[2, 50, 60, 3])
    picture, coverage, gradients = drawn(FAST, weights, cull_backfaces)
    theirs, their_coverage, their_gradients = drawn(TFG, weights, cull_backfaces)
    assert picture.shape == (2, 50, 60, 3) and coverage.shape == (2, 50, 60)
    np.testing.assert_array_equal(their_coverage, coverage)
    assert 0.2 < np.mean(coverage[0]) < 0.9 and 0.05 < np.mean(coverage[1]) < 0.5
    np.testing.assert_array_equal(theirs.numpy()[coverage == 0], 0)
    assert_near(theirs, picture, 1e-4)
    for ours, expected in zip(their_gradients, gradients):
        assert_near(ours, expected, 1e-3)


def away_from_edges():
    """Pixels [2, H, W] that show a triangle, and lie well inside it."""
    fragments = rasterize(balls().transpose(2, 0, 1), TRIANGLES, CAMERA)
    return np.min(fragments.barycentrics, axis=-1) > 0.02


@pytest.mark.parametrize("cull_backfaces", [False, True])
def test_own_rasteriser_draws_the_same(own, cull_backfaces):
    """But for pixels on edges: its vertices are rounded to 2⁻¹⁶ of half the picture."""
    weights = np.repeat(away_from_edges()[..., None], 3, axis=-1)
    picture, coverage, gradients = drawn(FAST, weights, cull_backfaces)
    theirs, their_coverage, their_gradients = drawn(own, weights, cull_backfaces)
    agree = np.all(np.abs(picture - theirs) < 1e-3, axis=-1) & (coverage == their_coverage).numpy()
    assert agree.mean() >= 0.998
    assert_near(theirs[weights], picture[weights], 1e-4)
    for ours, expected in zip(their_gradients, gradients):
        assert_near(ours, expected, 1e-3)


def test_culling_leaves_out_what_is_seen_from_inside(own):
    front, _ = FAST.render(balls(), balls(), TRIANGLES, CAMERA)
    for backend in (FAST, TFG, own):
        back, coverage = backend.render(
            balls(), balls(), TRIANGLES[:, ::-1], CAMERA, cull_backfaces=True
        )
        behind = (front[0] - back[0])[..., 2].numpy()[coverage[0] == 1]
        assert len(behind) > 500 and np.mean(behind) > 70  # the hollow far half of the ball


def test_gradients_of_the_pixels_against_finite_differences():
    """Away from the triangles' edges, where a small step changes which triangle a pixel shows."""
    rng = np.random.default_rng(8)
    arguments = {"vertices": balls(np.float64), "attributes": colours(np.float64)}
    weights = rng.uniform(size=[2, 50, 60, 3]) * away_from_edges()[..., None]
    assert np.mean(weights[0] > 0) > 0.2

    def loss(**changed):
        picture, _ = FAST.render(**{**arguments, **changed}, triangles=TRIANGLES, camera=CAMERA)
        return np.sum(weights * picture.numpy() ** 2)

    _, _, exact = drawn(FAST, weights, dtype=np.float64)
    _, _, single = drawn(TFG, weights)
    for k, (name, values) in enumerate(arguments.items()):
        direction, step = rng.normal(size=values.shape), 1e-5
        ahead = loss(**{name: values + step * direction})
        behind = loss(**{name: values - step * direction})
        expected = (ahead - behind) / (2 * step)
        assert abs(expected) > 0.1
        np.testing.assert_allclose(np.sum(exact[k] * direction), expected, rtol=1e-6)
        np.testing.assert_allclose(np.sum(single[k] * direction), expected, rtol=2e-3)


@pytest.mark.parametrize("backend", [FAST, TFG], ids=RENDERING_BACKENDS)
def test_frames_of_a_batch_are_drawn_as_if_alone(backend):
    vertices, attributes = balls(), colours()[:, :2]
    together, coverage = backend.render(vertices, attributes, TRIANGLES, CAMERA)
    assert together.shape == (2, 50, 60, 2)
    for n in range(2):
        alone, covered = backend.render(
            vertices[..., n : n + 1], attributes[..., n : n + 1], TRIANGLES, CAMERA
        )
        np.testing.assert_allclose(alone[0], together[n], atol=1e-6)
        np.testing.assert_array_equal(covered[0], coverage[n])
    half, _ = backend.render(vertices, attributes[:, :1], TRIANGLES, CAMERA)
    np.testing.assert_allclose(half, together[..., :1], atol=1e-6)


def test_face_pictures_are_equal(own):
    template = types.SimpleNamespace(
        triangles=TRIANGLES, regions={"face": BALL.vertices[:, 1] > -30.0}
    )
    vertices, attributes = balls()[..., 0], colours()[..., 0]
    expected, expected_coverage = render_face(vertices, attributes, template, CAMERA)
    assert 0.1 < expected_coverage.mean() < 0.9
    for backend in (TFG, own):
        values, coverage = render_face(vertices, attributes, template, CAMERA, backend)
        same = (np.abs(values - expected).max(axis=-1) < 1e-3) & (coverage == expected_coverage)
        assert same.mean() >= 0.998


def test_doubles_are_refused_where_tensorflow_graphics_cannot_take_them():
    with pytest.raises(TypeError, match="tfg renders float32 vertices, not float64"):
        TFG.render(balls(np.float64), colours(), TRIANGLES, CAMERA)


def test_without_a_compiler_ours_stands_in(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    backend = build_backend.__wrapped__()
    assert isinstance(backend, RenderingBackend)
    _, coverage = backend.render(balls(), colours(), TRIANGLES, CAMERA)
    np.testing.assert_array_equal(coverage, FAST.render(balls(), colours(), TRIANGLES, CAMERA)[1])
