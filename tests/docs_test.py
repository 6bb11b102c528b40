"""What the documents name is there, and their lines fit a screen."""

import importlib.util
import pathlib
import re
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MOST_CHARACTERS = 120
FOLDERS = [
    p for name in ("docs", "datasets", "fml_tf", "serving") for p in (ROOT / name).rglob("*.md")
]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *FOLDERS])
# Folders and endings of the repository's own files: what else looks like a path is a user's.
OURS = ("benchmarks/", "configs/", "datasets/", "docs/", "fml_tf/", "serving/", "tests/", "tools/")
ENDINGS = (".py", ".cfg", ".sh")
FILE_NAMES = {path.name for folder in OURS for path in (ROOT / folder).rglob("*.*")}
ABSL_FLAGS = {"flagfile", "help", "helpfull", "verbosity"}


def text_of(document):
    return document.read_text(encoding="utf-8")


def code_of(text):
    """Code spans and the lines of code blocks."""
    blocks = re.findall(r"^ *```.*?\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^ *```.*?\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (.+)$", rest, flags=re.MULTILINE)
    return [*re.findall(r"`([^`]+)`", rest), *indented, *"\n".join(blocks).splitlines()]


def missing_modules(text):
    """Of `python -m MODULE`, those that are not there."""
    names = {name for code in code_of(text) for name in re.findall(r"python3? -m ([\w.]+)", code)}
    ours = {name for name in names if (ROOT / name.partition(".")[0]).is_dir()}
    absent = {name for name in ours if not (ROOT / f"{name.replace('.', '/')}.py").is_file()}
    packages = {
        name for name in absent if (ROOT / name.replace(".", "/") / "__main__.py").is_file()
    }
    # Of others the first part tells enough: to look further would import it.
    others = {name for name in names - ours if not importlib.util.find_spec(name.partition(".")[0])}
    return sorted(absent - packages | others)


def missing_flags(text):
    """Of the flags in commands that run a script of ours, those that it does not define."""
    command = re.compile(r"python3? (?:-m ([\w.]+)|(\w[\w/]*\.py))([^\n`|]*)")
    for module, script, arguments in command.findall(text.replace("\\\n", " ")):
        stem = (module or script.removesuffix(".py")).replace(".", "/")
        files = [
            path for path in (ROOT / f"{stem}.py", ROOT / stem / "__main__.py") if path.is_file()
        ]
        for source in map(text_of, files):
            if "fml_tf.config" in source:
                source += text_of(ROOT / "fml_tf" / "config.py")
            for flag in sorted(set(re.findall(r"--(\w+)", arguments)) - ABSL_FLAGS):
                if not re.search(rf'"{flag}"|^    {flag}: ', source, flags=re.MULTILINE):
                    yield f"{module or script} --{flag}"


def missing_paths(text):
    """Of words in code that look like a path of the repository, those that are not there."""
    words = {word.rstrip(".,:;)") for code in code_of(text) for word in code.split()}
    words |= {word.partition("=")[2] for word in words if word.startswith("--")}
    names = re.compile(r"[\w./-]+")
    paths = {
        word
        for word in words
        if names.fullmatch(word) and "NAME" not in word and not word.startswith(("/", "."))
        if word.startswith(OURS) or ("/" not in word and word.endswith(ENDINGS))
    }
    # A name without folders may be that of a file anywhere, as where its folder was just named.
    return sorted(path for path in paths if not (ROOT / path).exists() and path not in FILE_NAMES)


def anchors(document):
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def broken_links(document, text):
    """Relative links that lead nowhere, and anchors that are not there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        url = urllib.parse.urlsplit(target)
        if url.scheme:
            continue
        path = document.parent / url.path if url.path else document
        if not path.exists() or (url.fragment and url.fragment not in anchors(path)):
            yield target


def stale_versions(text):
    """Folders of prepared data sets with another version than their builder's."""
    for name, version in re.findall(r"(\w+)/[\w-]+/(\d+\.\d+\.\d+)", text):
        builder = ROOT / "datasets" / name / f"{name}_dataset_builder.py"
        # Read, not imported, which would take many seconds.
        if builder.is_file() and f'VERSION = tfds.core.Version("{version}")' not in text_of(
            builder
        ):
            yield f"{name} {version}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document):
    text = text_of(document)
    assert not missing_modules(text)
    assert not missing_paths(text)
    assert not list(missing_flags(text))
    assert not list(broken_links(document, text))
    assert not list(stale_versions(text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_fit_a_screen(document):
    lines = enumerate(text_of(document).splitlines(), start=1)
    # A row of a table cannot be broken.
    assert not [i for i, line in lines if len(line) > MOST_CHARACTERS and line[:1] != "|"]


@pytest.mark.parametrize(
    ("text", "modules", "paths", "links", "versions"),
    [
        ("`python -m fml_tf.models.gone`", ["fml_tf.models.gone"], [], [], []),
        ("```\npython -m no_such_package x\n```\n", ["no_such_package"], [], [], []),
        ("`python -m datasets.voxceleb2_frames`, `python -m pytest -q`", [], [], [], []),
        ("`fml_tf/models/networks.py`; `tools/export/`", [], ["fml_tf/models/networks.py"], [], []),
        (
            "```\npython gone.py --flagfile=configs/gone.cfg\n```\n",
            [],
            ["configs/gone.cfg", "gone.py"],
            [],
            [],
        ),
        ("`runs/small`, `mine/report.md`, `fml_tf/models/encoders/NAME.py`", [], [], [], []),
        ("[a](docs/gone.md) [b](README.md) [c](https://a.example)", [], [], ["docs/gone.md"], []),
        ("[a](docs/data.md#no-such-part)", [], [], ["docs/data.md#no-such-part"], []),
        ("`data/synthetic_faces/small/0.0.1`", [], [], [], ["synthetic_faces 0.0.1"]),
    ],
)
def test_the_checks_see_what_is_not_there(text, modules, paths, links, versions):
    assert missing_modules(text) == modules
    assert missing_paths(text) == paths
    assert list(broken_links(ROOT / "README.md", text)) == links
    assert list(stale_versions(text)) == versions


def test_the_check_sees_flags_that_a_script_does_not_define():
    text = (
        "`python train.py --seed=1 --flagfile=x`, `python -m fml_tf.models.save --dtype=a --gone`\n"
        "```\npython reconstruct.py --input=a \\\n    --no_such_flag\n```\n"
    )
    assert list(missing_flags(text)) == [
        "fml_tf.models.save --gone",
        "reconstruct.py --no_such_flag",
    ]
