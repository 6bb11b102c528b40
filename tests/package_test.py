"""pyproject.toml beside what the code imports and requirements.txt lists."""

import ast
import functools
import pathlib
import re
import sys
import tomllib
from importlib import metadata

import pytest

from tools.write_requirements import requirements

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "fml_tf"
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS = {
    "data": "data",
    "demo.py": "demo",
    "training": "data",
    "evaluation": "evaluation",
    "serving": "serving",
    "rendering/tfg.py": "tfg",
}
"""The extra that a room or a file needs; the others do with the package's own dependencies."""


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def names(lines):
    return {normalised(re.match(r"[\w.-]+", line)[0]) for line in lines}


@functools.cache
def needed(path):
    """Top-level names outside the package that are imported where a file of it is."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            top, *rest = module.split(".")
            file = PACKAGE.joinpath(*rest).with_suffix(".py")
            if top != "fml_tf":
                found.add(top)
            elif rest and file.is_file():
                found |= needed(file)
    return found - set(sys.stdlib_module_names)


def test_requirements_are_those_of_the_package():
    written = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert written == requirements(PYPROJECT), "run python -m tools.write_requirements"
    listed = names(line for line in written.splitlines() if not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    assert listed >= names(PROJECT["dependencies"]) | names(extras["dev"])
    assert not listed & names(extras["runtimes"])


def test_comments_come_along():
    text = '[project]\ndependencies = [\n  "a>=1,<2",  # why\n  "b",\n]\n'
    text += '[project.optional-dependencies]\nx = ["c==1", "b"]\nruntimes = ["d"]\n'
    lines = [" ".join(line.split()) for line in requirements(text).splitlines()]
    assert [line for line in lines if not line.startswith("#")] == ["a>=1,<2 # why", "b", "c==1"]


@pytest.mark.parametrize("room", sorted({path.name for path in PACKAGE.glob("[a-z]*")}))
def test_a_room_needs_what_its_extra_installs(room):
    providers = metadata.packages_distributions()
    path = PACKAGE / room
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        extra = EXTRAS.get(file.relative_to(PACKAGE).as_posix(), EXTRAS.get(room))
        lines = PROJECT["optional-dependencies"].get(extra, [])
        installed = names([*PROJECT["dependencies"], *lines])
        for name in needed(file):
            # The wheel of dlib does not list its module; an extra need not be installed here.
            unknown = [name, f"{name}-bin"]
            wanted = {normalised(provider) for provider in providers.get(name, unknown)}
            assert wanted & installed, f"{file.relative_to(ROOT)} needs {name}, of {wanted}"


def test_the_package_holds_all_code_and_assets():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    others = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".py"]
    others = [path for path in others if "__pycache__" not in path.parts]
    # What pyproject.toml's package-data takes along: assets/* and assets/*/*.
    assert others and all("assets" in path.parts[-3:-1] for path in others)
