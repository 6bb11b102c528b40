r"""Makes fml_tf/viewer/assets/viewer.html of the page in tools/assets/viewer and three.js.

    python -m tools.assets.build_viewer

npm fetches three.js and esbuild in the versions, and with the hashes, of package-lock.json; esbuild
bundles what of three.js the page uses. The same versions give the same bytes. Needs Node.js.
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_bytes

SOURCES = pathlib.Path(__file__).parent / "viewer"
ASSET = pathlib.Path(__file__).parents[2] / "fml_tf" / "viewer" / "assets" / "viewer.html"
LEFT_TO_FILL = {"<!--TITLE-->": 2, "<!--DATA-->": 1}
"""Marks that fml_tf/viewer/page.py fills, and how often each stands in the page."""


def sources_hash() -> str:
    """SHA-256 of all that the page is built from."""
    digest = hashlib.sha256()
    names = ("package-lock.json", "package.json", "viewer.css", "viewer.html", "viewer.js")
    for name in names:
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def bundle() -> str:
    """The script with all of three.js that it uses, under three.js' licence, as one line."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(shutil.copytree(SOURCES, pathlib.Path(folder, "viewer")))
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True
        )
        command = ["npx", "esbuild", "viewer.js", "--bundle", "--minify", "--format=iife"]
        command += ["--target=es2022", "--charset=utf8", "--legal-comments=none"]
        script = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
        three = folder / "node_modules" / "three"
        version = json.loads((three / "package.json").read_text())["version"]
        licence = (three / "LICENSE").read_text().strip()
    return (
        f"/*! three.js {version}, https://threejs.org\n\n{licence}\n*/\n{script.decode().strip()}"
    )


def build_page() -> str:
    """The page without a face.

    Raises:
      ValueError: a mark that is to be filled is not there as often as it should be.
    """
    parts = {
        "<!--SOURCES-->": sources_hash(),
        "<!--STYLE-->": (SOURCES / "viewer.css").read_text(encoding="utf-8").strip(),
        "<!--SCRIPT-->": bundle(),
    }
    page = (SOURCES / "viewer.html").read_text(encoding="utf-8")
    pattern = "|".join(map(re.escape, parts))
    page = re.sub(pattern, lambda match: parts[match[0]], page)
    for mark, count in LEFT_TO_FILL.items():
        if page.count(mark) != count:
            raise ValueError(f"{mark} stands {page.count(mark)} times in the page, not {count}")
    return page


def main(arguments):
    """Writes the asset and prints its size and hash for PROVENANCE.md."""
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    with one_line_errors("build_viewer", subprocess.CalledProcessError):
        page = build_page().encode()
        write_bytes(flags.FLAGS.output, page)
        print(f"{len(page)} bytes, sha256 {hashlib.sha256(page).hexdigest()}")


if __name__ == "__main__":
    flags.DEFINE_string("output", str(ASSET), "Where the page is written.")
    app.run(main)
