import dataclasses
import hashlib
import json
import re

import cv2
import numpy as np
import pygltflib
import pytest
import tensorflow as tf
from browser import PATIENCE_MS, chromium

from fml_tf.config import ModelConfig
from fml_tf.geometry.crop import CropTransform
from fml_tf.models.building import build_model
from fml_tf.reconstruction.inputs import FaceFrames
from fml_tf.reconstruction.output import write_reconstruction
from fml_tf.reconstruction.reconstruction import Reconstruction
from fml_tf.rendering.pictures import render_frame_pictures
from fml_tf.structures import FaceParameters
from fml_tf.viewer.page import viewer_page
from tools.assets import build_viewer
from tools.export.write_random_checkpoint import randomise

SIZE = 240
NAMES = ("a.jpg", "</script><b>ü&.jpg", "c.jpg")


@pytest.fixture(scope="module")
def model():
    model = build_model(ModelConfig(network_width=0.05, shape_size=4, albedo_size=4))
    randomise(model, seed=0)
    return model


@pytest.fixture(scope="module")
def reconstruction(model):
    rng = np.random.default_rng(0)
    sizes = {part.name: part.shape for part in model.identity_layout.parameters}
    offsets = rng.uniform(-15.0, 15.0, (1, 3, 3)) * [1.0, 1.0, 4.0]
    light = rng.normal(scale=0.1, size=(1, 3, 9, 3))
    light[:, :, 0] += 2.7
    expression = rng.normal(size=(1, 3, len(model.expression_basis.sigma)))
    parameters = FaceParameters(
        identity={
            name: tf.constant(0.3 * rng.normal(size=(1, *size)), tf.float32)
            for name, size in sizes.items()
        },
        frame={
            "rotation": tf.constant([[[0.1, 0.5, 0.0], [-0.2, -0.4, 0.1], [0, 0, 0]]], tf.float32),
            "translation": tf.constant(model.initial_translation + offsets, tf.float32),
            "expression": tf.constant(0.7 * expression, tf.float32),
            "illumination": tf.constant(light, tf.float32),
        },
    )
    crops = np.broadcast_to(np.uint8([[[40]], [[120]], [[200]]])[..., None], (3, SIZE, SIZE, 3))
    frames = FaceFrames(
        names=NAMES,
        numbers=np.arange(3, dtype=np.int32),
        crops=np.ascontiguousarray(crops),
        transforms=(CropTransform(0, 0, SIZE, SIZE),) * 3,
        landmarks=np.zeros((3, 66, 2), np.float32),
        confidence=np.ones((3, 66), np.float32),
    )
    return Reconstruction(frames, parameters, model.decode(parameters))


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, reconstruction):
    directory = tmp_path_factory.mktemp("written")
    write_reconstruction(directory, reconstruction, model)
    return directory


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def page_of(model, reconstruction):
    frames = reconstruction.frames
    return viewer_page(model, reconstruction.parameters, frames.names, frames.crops, b"glb")


def test_the_asset_is_made_of_its_sources():
    asset = build_viewer.ASSET.read_bytes()
    provenance = (build_viewer.ASSET.parent / "PROVENANCE.md").read_text()
    assert build_viewer.sources_hash() in asset.decode(), "run python -m tools.assets.build_viewer"
    assert hashlib.sha256(asset).hexdigest() in provenance
    assert "Permission is hereby granted" in asset.decode()


def test_the_page_holds_what_decoding_uses(model, reconstruction):
    data = data_of(page_of(model, reconstruction))
    assert [frame["name"] for frame in data["frames"]] == list(NAMES)
    assert data["focalLength"] == model.config.focal_length
    activations = np.array([frame["activations"] for frame in data["frames"]])
    np.testing.assert_allclose(
        np.tensordot(model.template.blendshapes, activations, (0, 1)),
        reconstruction.faces.displacements,
        atol=2e-3,
    )
    for m, frame in enumerate(data["frames"]):
        for name in ("rotation", "translation", "illumination"):
            value = reconstruction.parameters.by_name()[name][0, m]
            np.testing.assert_allclose(frame[name], value, atol=1e-5, err_msg=name)


def test_a_file_name_is_text_and_no_markup(model, reconstruction):
    frames = reconstruction.frames
    named = dataclasses.replace(frames, names=NAMES[1:2], crops=frames.crops[:1])
    first = Reconstruction(
        named, reconstruction.parameters.map_frames(lambda values: values[:, :1]), None
    )
    page = page_of(model, first)
    assert "<b>" not in page.split("<script>")[0]
    assert data_of(page)["frames"][0]["name"] == NAMES[1]
    assert "&lt;/script&gt;&lt;b&gt;ü&amp;.jpg</title>" in page


def test_it_is_light_enough_for_a_phone(written):
    assert (written / "viewer.html").stat().st_size < 3e6


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def desktop(browser, written):
    yield from opened(browser, written, viewport={"width": 1040, "height": 600})


@pytest.fixture
def page(desktop):
    """The page in a window of a desktop, as it opens."""
    desktop.check("input[value=shaded]")
    desktop.check("#posed")
    desktop.locator("#frame").fill("0")
    desktop.get_by_role("button", name="Reset the view").click()
    return desktop


@pytest.fixture
def phone(browser, written):
    yield from opened(
        browser, written, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )


def opened(browser, written, **options):
    """Yields the page, which may ask for nothing and complain of nothing."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    url = (written / "viewer.html").as_uri()
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    yield page
    assert not complaints
    assert {address for address in requests if not re.match("data:|blob:", address)} == {url}
    context.close()


def drawn(page, size=None):
    """What the canvas shows, [H, W, 3] uint8, once it has been drawn anew."""
    style = f"width: {size}px; height: {size}px; border-radius: 0" if size else ""
    page.locator("#head").evaluate("(head, style) => head.style.cssText = style", style)
    page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done), 50))")
    encoded = np.frombuffer(page.locator("#head").screenshot(), np.uint8)
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def change(before, after):
    """Share of the pixels that changed."""
    return (np.abs(before - after).max(axis=-1) > 12).mean()


@pytest.mark.browser
@pytest.mark.parametrize("frame", [0, 1])
def test_it_draws_what_the_renderer_draws(page, model, reconstruction, frame):
    expected = render_frame_pictures(
        reconstruction.frames.crops[frame],
        reconstruction.faces,
        frame,
        0,
        model.template,
        model.camera,
    )
    # Where the face is, but for its edge and the holes that the pictures leave.
    face = (np.abs(expected["albedo"] - 237.0).max(axis=-1) > 20).astype(np.uint8)
    face = cv2.erode(face, np.ones((7, 7), np.uint8)) > 0
    assert face.mean() > 0.15
    page.locator("#frame").fill(str(frame))
    for mode, name in (("shaded", "overlay"), ("albedo", "albedo"), ("geometry", "geometry")):
        page.check(f"input[value={mode}]")
        difference = np.abs(drawn(page, SIZE) - expected[name])[face]
        assert difference.mean() < 2.5, mode
        assert np.quantile(difference, 0.95) < 12, mode


@pytest.mark.browser
def test_the_wireframe_draws_the_edges(page):
    page.check("input[value=geometry]")
    plain = drawn(page)
    page.check("input[value=wireframe]")
    lines = drawn(page)
    blue = lines[..., 2] - lines[..., 0] > 40
    assert (plain[..., 2] - plain[..., 0]).max() <= 1
    assert 0.02 < blue.mean() < 0.5


@pytest.mark.browser
def test_a_slider_moves_the_face_and_buttons_set_all(page):
    page.uncheck("#posed")
    page.get_by_role("button", name="Neutral").click()
    neutral = drawn(page)
    slider = page.get_by_role("slider", name="Jaw open")
    slider.fill("1")
    opened = drawn(page)
    changed = np.abs(opened - neutral).max(axis=-1) > 12
    height = len(changed)
    assert changed[height // 2 :].mean() > 0.02 > 10 * changed[: height // 3].mean()
    assert page.locator("label", has=slider).locator("output").inner_text() == "1.00"
    slider.press("Home")
    slider.press("ArrowRight")
    assert change(opened, drawn(page)) > 0.0
    page.get_by_role("button", name="Neutral").click()
    assert change(neutral, drawn(page)) == 0.0
    page.get_by_role("button", name="As in the picture").click()
    assert change(neutral, drawn(page)) > 0.005


@pytest.mark.browser
def test_all_blendshapes_stand_in_groups(page, model):
    names = page.locator("#regions input").evaluate_all("all => all.map(input => input.name)")
    assert sorted(names) == sorted(model.template.blendshape_names) and len(names) == 52
    groups = page.locator("#regions summary").all_inner_texts()
    assert groups == ["Brows", "Eyes", "Cheeks and nose", "Jaw and tongue", "Mouth"]
    assert page.locator("details", has_text="Brows").locator("input").count() == 5


@pytest.mark.browser
def test_stepping_changes_picture_pose_and_expression(page):
    shown = lambda: page.locator("#picture").get_attribute("src")  # noqa: E731
    smile = page.locator("input[name=mouthSmileLeft]")
    first = drawn(page), shown(), smile.input_value()
    assert page.locator("#frame-name").inner_text() == "a.jpg (1 of 3)"
    page.get_by_role("button", name="Previous picture").click()
    assert shown() == first[1]
    page.get_by_role("button", name="Next picture").click()
    assert change(first[0], drawn(page)) > 0.1
    assert shown() != first[1] and smile.input_value() != first[2]
    assert page.locator("#picture").get_attribute("alt") == f"Picture {NAMES[1]}"
    assert page.locator("#frame-name").inner_text() == f"{NAMES[1]} (2 of 3)"
    page.uncheck("#posed")
    frontal = drawn(page)
    mirrored = np.abs(frontal - frontal[:, ::-1]).max(axis=-1) > 60
    assert mirrored.mean() < 0.1  # the outline at least


@pytest.mark.browser
def test_the_mouse_turns_and_the_wheel_zooms(page):
    before = drawn(page)
    box = page.locator("#head").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 10, steps=4)
    page.mouse.up()
    turned = drawn(page)
    assert change(before, turned) > 0.1
    assert "to the left of the camera" in page.locator("#view").inner_text()
    page.mouse.wheel(0, 400)
    assert change(turned, drawn(page)) > 0.05
    page.get_by_role("button", name="Reset the view").click()
    assert change(before, drawn(page)) == 0.0
    assert page.locator("#view").inner_text() == "Seen from the camera."


@pytest.mark.browser
def test_keys_do_all_that_the_mouse_does(page):
    before = drawn(page)
    page.locator("#head").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    turned = drawn(page)
    assert change(before, turned) > 0.1
    direction = page.locator("#view").inner_text()
    assert direction == "Seen from 15° to the right of the camera, 5° above it."
    page.keyboard.press("-")
    assert change(turned, drawn(page)) > 0.02
    page.keyboard.press("0")
    page.keyboard.press("PageDown")
    assert page.locator("#frame-name").inner_text() == f"{NAMES[1]} (2 of 3)"
    page.locator("input[value=shaded]").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("input[value=albedo]").is_checked()
    # Whatever can be done has a name that a screen reader says, and is reached by Tab.
    for role in ("button", "slider", "radio", "checkbox", "link"):
        for control in page.get_by_role(role).all():
            assert control.evaluate("node => node.tabIndex >= 0")
    assert page.get_by_role("slider", name=re.compile(r"\w")).count() == (
        page.get_by_role("slider").count()
    )


@pytest.mark.browser
def test_the_download_is_the_glb(page, written, tmp_path):
    with page.expect_download() as download:
        page.get_by_role("link", name="Download glTF").click()
    assert download.value.suggested_filename == "face.glb"
    download.value.save_as(tmp_path / "face.glb")
    assert (tmp_path / "face.glb").read_bytes() == (written / "face.glb").read_bytes()
    mesh = pygltflib.GLTF2().load(tmp_path / "face.glb").meshes[0]
    assert "jawOpen" in mesh.extras["targetNames"]


@pytest.mark.browser
def test_on_a_phone_it_fits_and_a_finger_turns(phone):
    for width in (320, 390):
        phone.set_viewport_size({"width": width, "height": 844})
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before = drawn(phone)
    box = phone.locator("#head").bounding_box()
    assert box["width"] > 340
    touch = phone.context.new_cdp_session(phone)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, moved in (
        ("touchStart", 0),
        ("touchMove", 30),
        ("touchMove", 60),
        ("touchEnd", None),
    ):
        points = [] if moved is None else [{"x": x + moved, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert change(before, drawn(phone)) > 0.1
    # The head stays in sight above the sliders.
    phone.locator("input[name=mouthUpperUpRight]").scroll_into_view_if_needed()
    phone.evaluate("scrollBy(0, 200)")
    assert phone.locator("#head").bounding_box()["y"] == pytest.approx(0, abs=1)


@pytest.mark.browser
def test_without_webgl_it_says_so_and_still_downloads(browser, written):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto((written / "viewer.html").as_uri())
    assert "WebGL" in page.get_by_role("alert").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download glTF").click()
    assert download.value.suggested_filename == "face.glb"
    page.close()
