"""How scripts end, as processes of their own."""

import subprocess
import sys

import pytest

SCRIPT = """
from fml_tf.command_line import one_line_errors
with one_line_errors("script.py", RuntimeError):
    {}
"""


def ended(body, **options):
    command = [sys.executable, "-c", SCRIPT.format(body)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise ValueError('a\\nb')", "a"),
        ("raise RuntimeError", "RuntimeError()"),
        ("open('nowhere')", "[Errno 2] No such file or directory: 'nowhere'"),
        ("raise ValueError('caf\\udce9')", "caf\\udce9"),
    ],
)
def test_errors_are_one_line(body, line):
    process = ended(body)
    assert (process.returncode, process.stderr) == (2, f"script.py: {line}\n")


def test_a_bug_keeps_its_traceback():
    process = ended("dict()['a']")
    assert process.returncode == 1 and "KeyError" in process.stderr


def test_names_that_are_not_utf8_are_printed():
    process = ended("print('caf\\udce9')", stdout=subprocess.PIPE)
    assert (process.returncode, process.stdout) == (0, "caf\\udce9\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_standard_output_cannot_take_is_told(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        process = ended("print('done')", stdout=full)
    assert process.returncode == 2
    assert process.stderr == "script.py: [Errno 28] No space left on device\n"
