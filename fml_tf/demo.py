"""A page on this machine: drop a photo, several photos or a clip of one person, and turn the head.

    pip install ".[demo]"
    python -m fml_tf.demo

Open the address that it prints. Uploads are deleted as soon as they have been read, and nothing is
sent to anybody else.
"""

import html
import os
import pathlib
import tempfile
from collections.abc import Sequence

from fml_tf import quiet  # noqa: F401  # isort: skip

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio
from absl import app, flags

from fml_tf.command_line import first_line, one_line_errors
from fml_tf.files.names import printable
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.landmarks import LandmarkDetector
from fml_tf.reconstruction.inputs import is_video
from fml_tf.reconstruction.reconstruction import reconstruct
from fml_tf.viewer.glb import face_glb
from fml_tf.viewer.page import viewer_page

MAX_FILES = 20
MAX_FILE_SIZE = "200mb"
MAX_FRAMES = 500  # of a clip: about a minute's work
_FONTS = ["system-ui", "sans-serif"]
_TEXT = f"""# A face in 3D

Drop a photo, several photos (at most {MAX_FILES}) or a clip of **one person**, at most
{MAX_FILE_SIZE.upper()} a file. Of a clip the first {MAX_FRAMES} frames are read.
The files are deleted once they have been read.
"""


def viewer_of(paths: Sequence[str], model: FaceReconstructor, detector: LandmarkDetector) -> str:
    """The viewer's page of the person whom the files show.

    Raises:
      ValueError: too many files, several of which one is a clip, or no usable face.
    """
    if len(paths) > MAX_FILES:
        raise ValueError(f"{len(paths)} files are too many: at most {MAX_FILES}")
    if len(paths) > 1:
        for path in paths:
            if _is_clip(path):
                raise ValueError(f"{path} is a clip: give it alone, or photos only")
    source = paths[0] if len(paths) == 1 else paths
    person = reconstruct(source, model, max_frames=MAX_FRAMES, detector=detector)
    glb = face_glb(person.faces.identity, model.template)
    return viewer_page(model, person.parameters, person.frames.names, person.frames.crops, glb)


def build_page(model: FaceReconstructor, detector: LandmarkDetector) -> gradio.Blocks:
    """The page; nothing of what is dropped on it outlives its answer."""

    def answer(paths):
        if not paths:
            return None, gradio.skip()
        try:
            page = html.escape(viewer_of(paths, model, detector))
            # Of an origin of its own, the page cannot reach the one around it.
            shown = (
                '<iframe title="Face in 3D" sandbox="allow-scripts allow-downloads"'
                f' style="width: 100%; height: 90vh; border: 0" srcdoc="{page}"></iframe>'
            )
        except (OSError, ValueError) as error:
            message = printable(first_line(error))
            for path in paths:
                message = message.replace(path, pathlib.Path(path).name)
            shown = f'<p role="alert"><strong>{html.escape(message)}</strong></p>'
        finally:
            for path in paths:
                pathlib.Path(path).unlink(missing_ok=True)
        return None, shown

    with gradio.Blocks(title="A face in 3D", analytics_enabled=False) as page:
        gradio.Markdown(_TEXT)
        files = gradio.File(label="Photos or a clip", file_count="multiple", height=140)
        shown = gradio.HTML()
        files.upload(answer, files, [files, shown], concurrency_limit=1, api_visibility="private")
    return page


def launch(page: gradio.Blocks, port: int | None, **options) -> None:
    """Serves the page to this machine alone."""
    theme = gradio.themes.Default(font=_FONTS, font_mono=["monospace"])
    page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        max_file_size=MAX_FILE_SIZE,
        theme=theme,
        footer_links=[],
        **options,
    )


def _is_clip(path: str) -> bool:
    try:
        return is_video(path)
    except ValueError:  # neither: it is passed over with the other photos' faults
        return False


def main(arguments):
    """Loads the model and serves until it is stopped."""
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    options = flags.FLAGS
    with (
        one_line_errors("fml_tf.demo"),
        tempfile.TemporaryDirectory(prefix="fml-tf-demo-") as folder,
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder
        model = load_model(options.checkpoint)
        launch(build_page(model, make_landmark_detector()), options.port)


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)
    flags.DEFINE_integer("port", 7860, "Port on 127.0.0.1.", lower_bound=1, upper_bound=65535)
    app.run(main)
