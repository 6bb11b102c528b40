"""Files and folders that are written whole or not at all."""

import errno
import json
import os
import pathlib
import pickle
import subprocess

import cv2
import numpy as np
import pytest
from full_disk import full_disk

from fml_tf.files import atomic
from fml_tf.files.atomic import (
    NotWrittenError,
    atomic_path,
    write_array,
    write_image,
    write_json,
    write_text,
)
from fml_tf.files.folders import (
    check_output_directory,
    checked_tensorflow_dir,
    output_directory,
    probe_directory,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def tree(folder):
    """All that is in a folder, with the contents of files."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else path.is_symlink()
        for path in folder.rglob("*")
    }


def test_a_file_keeps_what_it_was_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("cut")
    assert tree(tmp_path) == {pathlib.Path("a.txt"): b"old"}
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert tree(tmp_path) == {pathlib.Path("a.txt"): b"new"}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.png", lambda path: write_image(path, PICTURE)),
        ("a.jpg", lambda path: write_image(path, PICTURE)),
        ("a.npy", lambda path: write_array(path, np.zeros((66, 3)))),
        ("a.json", lambda path: write_json(path, ["x" * 1000])),
        ("a.txt", lambda path: write_text(path, "x" * 1000)),
    ],
)
@pytest.mark.parametrize("room", [0, 300])  # bytes
def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path, name, write, room):
    (tmp_path / name).write_text("old")
    with full_disk(room), pytest.raises(NotWrittenError) as told:
        write(tmp_path / name)
    assert str(told.value) == f"{tmp_path / name}: cannot be written: File too large"
    assert told.value.errno == errno.EFBIG
    assert tree(tmp_path) == {pathlib.Path(name): b"old"}
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)  # between processes


def test_a_disk_that_tells_only_when_flushed(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(NotWrittenError, match=r"a\.txt: cannot be written: No space left"):
        write_text(tmp_path / "a.txt", "x")
    assert not tree(tmp_path)


def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(NotWrittenError, match=f"{name}: cannot be written: it exists"):
            write_text(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo()


def test_pictures_are_written_as_they_are(tmp_path, capfd):
    name = tmp_path / os.fsdecode(b"caf\xe9 [1]\n.png")
    write_image(name, PICTURE)
    stored = cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(stored, PICTURE)
    sizes = []
    for name, options in {"a.jpg": {}, "b.JPG": {"jpeg_quality": 50}}.items():
        write_image(tmp_path / name, PICTURE, **options)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] < 0.7 * sizes[0]
    assert "WARN" not in capfd.readouterr().err
    for name in ("a.xyz", "a", "a.é"):
        with pytest.raises(ValueError, match=f"{name}: its suffix"):
            write_image(tmp_path / name, PICTURE)


def test_names_that_are_not_utf8_come_back_from_json(tmp_path):
    names = [os.fsdecode(b"caf\xe9"), "café"]
    write_json(tmp_path / "a.json", names)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == names


def write_run(path, text="new", **options):
    with output_directory(path, ["a.txt", "frame_*"], **options) as folder:
        (folder / "a.txt").write_text(text)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "runs" / "face"
    with pytest.raises(RuntimeError), output_directory(path) as folder:
        (folder / "a.txt").write_text("half")
        raise RuntimeError("cut")
    assert not tree(tmp_path)
    write_run(path)
    assert list(tree(path)) == [pathlib.Path("a.txt")]
    with pytest.raises(ValueError, match="has files in it"):
        write_run(path)


def test_a_folder_is_named_when_a_file_in_it_cannot_be_written(tmp_path):
    path = tmp_path / "face"
    with (
        full_disk(100),
        pytest.raises(NotWrittenError, match=f"^{path}/a.txt: cannot be written: File too large$"),
        output_directory(path) as folder,
    ):
        write_text(folder / "a.txt", "x" * 1000)
    assert not tree(tmp_path)


def test_other_files_in_the_folder_stay(tmp_path):
    for name in ("a.txt", "frame_7", "mine.txt"):
        (tmp_path / name).write_text("old")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="--overwrite"):
        write_run(tmp_path)
    with pytest.raises(RuntimeError), output_directory(tmp_path, ["a.txt"], overwrite=True):
        raise RuntimeError("cut")
    assert tree(tmp_path) == before
    write_run(tmp_path, overwrite=True)
    # The old run's seventh frame is no frame of the new run.
    assert tree(tmp_path) == {pathlib.Path("a.txt"): b"new", pathlib.Path("mine.txt"): b"old"}


def test_the_old_files_are_back_when_the_new_ones_cannot_take_their_place(tmp_path, monkeypatch):
    for name in ("a.txt", "frame_7"):
        (tmp_path / name).write_text("old")
    before = tree(tmp_path)
    moves = []
    replace = os.replace

    def fail_once(source, target):
        moves.append(target)
        if len(moves) == 3:  # both old ones are aside
            raise PermissionError(errno.EPERM, "Operation not permitted", os.fspath(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(PermissionError):
        write_run(tmp_path, overwrite=True)
    assert tree(tmp_path) == before


def test_a_folder_in_the_place_of_a_file_is_told_before_the_work(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ValueError, match=r"a\.txt: a folder, in the way"):
        check_output_directory(tmp_path, ["a.txt"], overwrite=True)


@pytest.fixture
def odd_places(tmp_path, monkeypatch):
    """Names of the folder tmp_path/target, or of a new one in it."""
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "link").symlink_to("target")
    monkeypatch.chdir(target)
    return [
        ".",
        "../link",
        "../link/",
        "../link/../target",
        "new",
        "new/deep/",
        "a/../new",
        "a b\n",
        "caf\udce9[1]*",
        "x" * 255,
    ]


@pytest.mark.parametrize("place", range(10))
def test_odd_places_are_written_to(odd_places, tmp_path, place):
    here = os.stat(".").st_ino  # where the shell is
    for text in ("old", "new"):
        write_run(odd_places[place], text, overwrite=True)
        written = pathlib.Path(os.path.realpath(odd_places[place]), "a.txt")
        assert written.read_text() == text
    # It is still that folder, and a link is still one.
    assert os.stat(".").st_ino == here == (tmp_path / "target").stat().st_ino
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "target" / "a").exists()
    staged = [path for path in tmp_path.rglob("*") if path.name.startswith(atomic.STAGING_PREFIX)]
    assert not staged


def test_places_that_cannot_be_written_to_are_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    before = tree(tmp_path)
    for place, reason in {
        "file": "file: not a folder",
        "file/deep": "file: not a folder",
        "gone": "gone: a broken link",
        "gone/deep": "gone: a broken link",
        "loop": "loop: a broken link",
        "x" * 256: "File name too long",
        f"new/{'x' * 256}": "File name too long",
        "/dev/null": "/dev/null: not a folder",
        "/proc/new": "/proc/new: cannot be written to",
    }.items():
        with pytest.raises(ValueError, match=reason):
            probe_directory(tmp_path / place)
    with pytest.raises(ValueError, match="empty"):
        probe_directory("")
    assert tree(tmp_path) == before


def test_a_shell_in_a_deleted_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    with pytest.raises(ValueError, match="out: the folder that it is relative to was deleted"):
        probe_directory("out")
    write_run(tmp_path / "out")


@pytest.fixture
def as_nobody():
    """Goes on as a user without rights where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_only_the_folder_itself_has_to_be_ours(tmp_path, as_nobody):
    euid = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    ours, theirs = tmp_path / "parent" / "ours", tmp_path / "parent" / "theirs"
    ours.mkdir(parents=True)
    theirs.mkdir()
    if os.getuid() == 0:
        os.chown(ours, euid, -1)
        for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
            folder.chmod(0o755)
    theirs.chmod(0o555)
    (tmp_path / "parent").chmod(0o555)
    os.seteuid(euid)
    try:
        write_run(ours, overwrite=True)
        assert (ours / "a.txt").read_text() == "new"
        for place in (theirs, tmp_path / "parent" / "new"):
            with pytest.raises(ValueError, match=f"{place}: cannot be written to: Permission"):
                probe_directory(place)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (tmp_path / "parent").chmod(0o755)


def mounted(folder, size):
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", os.fspath(folder)]
    if subprocess.run(["mount", *options], capture_output=True).returncode != 0:
        pytest.skip("mounts are not allowed here")


def test_a_mount_and_a_disk_that_is_truly_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted(disk, "64k")
    try:
        write_run(disk)
        assert (disk / "a.txt").read_text() == "new"
        before = tree(disk)
        with (
            pytest.raises(NotWrittenError, match=r"b\.txt: cannot be written: No space left"),
            output_directory(disk, ["a.txt"], overwrite=True) as folder,
        ):
            write_text(folder / "a.txt", "newer")
            write_text(folder / "b.txt", "x" * 100_000)
        assert tree(disk) == before
    finally:
        subprocess.run(["umount", os.fspath(disk)], check=True)


def test_folders_in_which_tensorflow_would_find_nothing():
    for name in ("runs/exp[1]", "runs/exp*", "runs/exp?", "a]/run", "runs\\exp"):
        with pytest.raises(ValueError, match="TensorFlow would not find") as told:
            checked_tensorflow_dir(name)
        assert name in str(told.value) and "\n" not in str(told.value)
    with pytest.raises(ValueError, match=r"caf\\udce9': TensorFlow opens no"):
        checked_tensorflow_dir("caf\udce9")
    for name in ("runs/exp (1) {a,b}~#%:é", "a\nb", pathlib.Path("runs/exp")):
        assert checked_tensorflow_dir(name) == os.fspath(name)
