"""Writes requirements.txt from pyproject.toml: the package's list and those of its extras.

    python -m tools.write_requirements

`runtimes` and `demo` are left out, since they are large and few need them, and `heic`,
since its wheels hold code under the GPL.
"""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
_LEFT_OUT = ("runtimes", "heic", "demo")
_HEAD = """\
# Written by `python -m tools.write_requirements`; the lists are in pyproject.toml.
# Runs on Python 3.11+ (CPU or GPU).
"""


def requirements(pyproject: str) -> str:
    """The text of requirements.txt, each package once, with its comment.

    Args:
      pyproject: text of pyproject.toml; a comment on a package's line is taken along.
    """
    project = tomllib.loads(pyproject)["project"]
    comments = dict(re.findall(r'^ *"(\S+)", *# (.+)$', pyproject, flags=re.MULTILINE))
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *(extras[name] for name in extras if name not in _LEFT_OUT)]
    packages = dict.fromkeys(package for packages in lists for package in packages)
    lines = (f"{name:37}# {comments[name]}" if name in comments else name for name in packages)
    return _HEAD + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    text = requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (ROOT / "requirements.txt").write_text(text, encoding="utf-8")
