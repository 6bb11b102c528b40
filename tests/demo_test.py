import re

import cv2
import pytest
from browser import PATIENCE_MS, chromium

from fml_tf.config import ModelConfig
from fml_tf.models.building import build_model
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from tools.export.write_random_checkpoint import randomise

demo = pytest.importorskip("fml_tf.demo", reason="needs the extra demo")


@pytest.fixture(scope="module")
def portrait():
    frames, _ = FaceGenerator(FrameSettings(num_frames=1)).turning_clip(3, 3, size=360, yaw=2.0)
    return cv2.imencode(".png", frames[1][..., ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address and upload folder of a running demo."""
    uploads = tmp_path_factory.mktemp("uploads")
    model = build_model(ModelConfig(network_width=0.05, shape_size=4, albedo_size=4))
    randomise(model, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        page = demo.build_page(model, DlibLandmarkDetector())
        demo.launch(page, None, prevent_thread_lock=True, quiet=True)
        yield page.local_url, uploads
        page.close()


@pytest.mark.browser
def test_a_dropped_photo_becomes_a_head_and_nothing_is_kept(served, portrait, tmp_path):
    address, uploads = served
    (tmp_path / "me.png").write_bytes(portrait)
    (tmp_path / "notes.txt").write_text("no picture")
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        outside = []
        page.on("request", lambda request: outside.append(request.url))
        page.goto(address)
        drop = page.locator("input[type=file]")

        drop.set_input_files(tmp_path / "notes.txt")
        message = page.locator("p[role=alert]")
        message.wait_for()
        assert "notes.txt: neither an image nor a video" in message.inner_text()
        assert str(uploads) not in message.inner_text()

        drop.set_input_files([tmp_path / "me.png"] * 2)
        frame = page.frame_locator("iframe[title='Face in 3D']")
        frame.locator("body[data-ready]").wait_for()
        assert re.match(r"me\.png \(1 of 2\)", frame.locator("#frame-name").inner_text())
        with page.expect_download() as download:
            frame.get_by_role("link", name="Download glTF").click()
        assert download.value.path().read_bytes().startswith(b"glTF")

        own = re.compile(re.escape(address) + "|data:|blob:|about:")
        assert [url for url in outside if not own.match(url)] == []
        # Gradio leaves empty files behind, until the demo's folder goes with it.
        assert [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_too_many_files_and_mixed_ones_are_refused_in_words(tmp_path):
    with pytest.raises(ValueError, match=f"at most {demo.MAX_FILES}"):
        demo.viewer_of(["a.jpg"] * (demo.MAX_FILES + 1), None, None)
