"""`reconstruct.py` from files to files, with the real detector and a tiny untrained model."""

import os
import shutil

import cv2
import numpy as np
import pytest
import skimage.data
from absl import flags
from full_disk import full_disk

import reconstruct
from datasets.video_faces.dummy_videos import portrait_frames, write_video
from fml_tf.config import ModelConfig
from fml_tf.files.meshes import read_mesh
from fml_tf.files.video import read_frames
from fml_tf.models.building import build_model
from fml_tf.models.saving import load_model, save_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "exp[1]*?"
    model = build_model(ModelConfig(network_width=0.05, crop_size=96, shape_size=6, albedo_size=5))
    save_model(model, directory)
    return directory


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(str(checkpoint))


@pytest.fixture(scope="module")
def detector():
    return reconstruct.make_landmark_detector("dlib")


@pytest.fixture
def run(tmp_path, checkpoint, model, detector, monkeypatch):
    """Runs the script with flags; checkpoint and detector are read once for all tests."""
    monkeypatch.setattr(reconstruct, "make_landmark_detector", lambda name: detector)
    monkeypatch.setattr(
        reconstruct,
        "load_model",
        lambda path, backend: model if path == str(checkpoint) else load_model(path, backend),
    )

    def run(*arguments, **options):
        options = {"checkpoint": checkpoint, "output_dir": tmp_path / "out"} | options
        values = flags.FlagValues()
        reconstruct.define_flags(values)
        values(["reconstruct.py", *arguments, *(f"--{k}={v}" for k, v in options.items())])
        reconstruct.main([], values)

    return run


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), skimage.data.astronaut()[..., ::-1])
    return path


def test_a_portrait(run, portrait, model, tmp_path):
    run(input=portrait)
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {
        "face.glb",
        "frame_0000.obj",
        "identity.obj",
        "landmarks_3d.npy",
        "overview.png",
        "parameters.npz",
        "viewer.html",
    }
    # An untrained model's prediction is the mean face where the detector saw the portrait's.
    identity = read_mesh(out / "identity.obj").vertices
    np.testing.assert_allclose(identity, model.template.mean_shape, atol=1e-3)
    posed = read_mesh(out / "frame_0000.obj").vertices[model.template.landmark_vertices]
    with np.load(out / "parameters.npz") as values:
        matrix = values["crop_transform"][0]
        focal_length = values["focal_length_px"] / values["crop_size"][0]
    crop = 96 * (0.5 + focal_length * posed[:, :2] * [1, -1] / -posed[:, 2:])
    source = (crop - matrix[:, 2]) / matrix[0, 0]
    np.testing.assert_allclose(source.mean(axis=0), [222, 130], atol=20)  # her face
    assert 80 < np.ptp(source[:, 0]) < 160


def test_a_folder_pools_over_its_photos(run, portrait, tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(portrait, album / "a.png")
    cv2.imwrite(str(album / "b.jpg"), portrait_frames(3)[2][..., ::-1])
    cv2.imwrite(str(album / "c.png"), np.zeros((200, 200, 3), np.uint8))
    (album / "notes.txt").write_text("x")
    run(input=album)
    with np.load(tmp_path / "out" / "parameters.npz") as values:
        assert values["frame_names"].tolist() == ["a.png", "b.jpg"]
        assert values["shape"].shape == (6,) and values["rotation"].shape == (2, 3)
    assert (tmp_path / "out" / "frame_0001.obj").exists()
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_a_video(run, tmp_path):
    clip = [*portrait_frames(4), np.zeros((480, 480, 3), np.uint8)]
    write_video(tmp_path / "clip.mp4", clip)
    run(input=tmp_path / "clip.mp4", num_frames=2)
    out = tmp_path / "out"
    with np.load(out / "parameters.npz") as values:
        assert values["frame_numbers"].tolist() == [0, 3]  # furthest apart in pose
    assert len(list(out.glob("frame_*.obj"))) == 2
    assert len(list(read_frames(out / "overlay.mp4"))) == len(clip)


def test_driven_by_a_video_in_the_light_of_a_photo(run, portrait, tmp_path, capsys):
    write_video(tmp_path / "clip.mp4", portrait_frames(3))
    run(input=portrait, drive=tmp_path / "clip.mp4", light=portrait)
    out = tmp_path / "out"
    assert len(list(read_frames(out / "driven.mp4"))) == 3
    assert cv2.imread(str(out / "relit.png")).shape == (22 + 22 + 96, 4 * 96, 3)
    assert not (out / "overlay.mp4").exists()
    shutil.rmtree(out)
    assert_refused(run, tmp_path, capsys, "not a video", input=portrait, drive=portrait)
    none = tmp_path / "none.jpg"
    assert_refused(  # before any work
        run, tmp_path, capsys, "not a video", input=portrait, drive=portrait, checkpoint=none
    )
    assert_refused(run, tmp_path, capsys, "no such file", input=portrait, light=none)


def assert_refused(run, tmp_path, capsys, message, **options):
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_info:
        run(**options)
    assert exit_info.value.code == 2
    written = capsys.readouterr().err.splitlines()
    [line] = [line for line in written if line and "frame/s" not in line]  # of a progress bar
    assert line.startswith("reconstruct.py: ") and message in line
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_used_is_told_in_a_line_and_nothing_is_written(
    run, portrait, tmp_path, capsys
):
    def refused(message, **options):
        assert_refused(run, tmp_path, capsys, message, **options)

    cv2.imwrite(str(tmp_path / "empty.png"), np.full((300, 300, 3), 128, np.uint8))
    refused("empty.png: no face was found", input=tmp_path / "empty.png")
    refused("portrait.png: the face is too small", input=portrait, min_face_size=400)
    refused("portrait.png: the landmarks are uncertain", input=portrait, min_confidence=1.0)
    (tmp_path / "broken.jpg").write_text("garbage")
    refused("broken.jpg: neither an image nor a video", input=tmp_path / "broken.jpg")
    (tmp_path / "broken.mp4").write_text("garbage")
    refused("broken.mp4: neither an image nor a video", input=tmp_path / "broken.mp4")
    refused("missing.jpg: no such file", input=tmp_path / "missing.jpg")
    refused("nowhere: holds no model", input=portrait, checkpoint=tmp_path / "nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    refused("--overwrite", input=portrait, output_dir=tmp_path / "full")
    (tmp_path / "none").mkdir()
    refused("none of its 0 files", input=tmp_path / "none")


def test_the_input_is_not_replaced(run, portrait, tmp_path, capsys):
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(portrait, album / "overview.png")
    for source in (album, album / "overview.png"):
        assert_refused(
            run, tmp_path, capsys, "would be mixed up", input=source, output_dir=album, overwrite=1
        )


def test_a_full_disk_is_told_and_the_earlier_run_stays(run, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "frame_0009.obj").write_text("of an earlier run")
    # The video, which comes last, is the largest file by far.
    noise = np.random.default_rng(0).integers(0, 256, (4, 480, 480, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", [*portrait_frames(2), *np.tile(noise, (16, 1, 1, 1))])
    message = f"{out}/overlay.mp4: cannot be written: File too large"
    with full_disk(3_500_000):
        assert_refused(run, tmp_path, capsys, message, input=tmp_path / "clip.mp4", overwrite=1)
    assert (out / "frame_0009.obj").read_text() == "of an earlier run"


def test_overwrite_runs_again_in_the_shells_own_folder(run, portrait, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    for name in ("frame_0009.obj", "frame_10009.obj", "frame_0009_smoothed.obj"):
        (tmp_path / "out" / name).write_text("of an earlier run")
    monkeypatch.chdir(tmp_path / "out")
    run("--overwrite", input=portrait, output_dir=".")
    assert os.path.samefile(".", tmp_path / "out")
    assert not (tmp_path / "out" / "frame_0009.obj").exists()
    assert not (tmp_path / "out" / "frame_10009.obj").exists()
    assert (tmp_path / "out" / "frame_0009_smoothed.obj").exists()  # somebody's own
    assert (tmp_path / "out" / "identity.obj").exists()
