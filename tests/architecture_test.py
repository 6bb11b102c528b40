"""Imports go down only: between the rooms of fml_tf as docs/architecture.md draws them."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "fml_tf"
ABOVE = ("benchmarks", "datasets", "experiments", "tests", "tools")
ABOVE += tuple(path.stem for path in ROOT.glob("*.py"))


def drawn_floors():
    """Floor by room, from the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text, flags=re.MULTILINE)
    return {room: int(floor) for floor, room in rows}


def imported_modules(path):
    """Dotted names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            if node.module == "fml_tf":
                yield from (f"fml_tf.{alias.name}" for alias in node.names)
            else:
                yield node.module


def faults(path, room, floors):
    """What a file of a room imports and may not."""
    for module in imported_modules(path):
        top, *rest = module.split(".")
        if top in ABOVE:
            yield f"{room} imports {module}, from above the package"
        if top != "fml_tf" or rest[:1] in ([room], ["__version__"]):
            continue
        if not rest or rest[0] not in floors:
            yield f"{room} imports {module}, which is no room"
        elif floors[rest[0]] >= floors[room]:
            yield f"{room} imports {module}, not from a lower floor"


def rooms():
    """Room by file; `__init__.py` of the package itself is in none."""
    files = sorted(PACKAGE.rglob("*.py"))
    files.remove(PACKAGE / "__init__.py")
    return {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in files}


def test_all_rooms_are_drawn():
    assert set(drawn_floors()) == set(rooms().values())


def test_imports_go_down():
    floors = drawn_floors()
    found = {
        str(path.relative_to(ROOT)): problems
        for path, room in rooms().items()
        if (problems := list(faults(path, room, floors)))
    }
    assert not found


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("from fml_tf.geometry import crop", True),
        ("from fml_tf import __version__, xla", True),
        ("import fml_tf.template.loading", True),
        ("import fml_tf", False),
        ("from fml_tf import models", False),
        ("def lazily():\n    import fml_tf.preprocessing.clip", False),
        ("from fml_tf.models.building import build_model", False),
        ("from datasets import opening", False),
        ("import train", False),
    ],
)
def test_the_check_sees_what_goes_up(line, allowed, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(line)
    floors = {"xla": 1, "geometry": 2, "template": 3, "rendering": 4, "preprocessing": 4}
    floors["models"] = 5
    assert (not list(faults(path, "rendering", floors))) == allowed


def test_no_file_changes_where_modules_are_looked_for():
    folders = [ROOT / name for name in ("benchmarks", "datasets", "fml_tf", "tools")]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    assert [path for path in files if "sys.path" in path.read_text(encoding="utf-8")] == []
