"""A VoxCeleb2 with one of each fault, in folders, a split archive and original videos."""

import csv
import dataclasses
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile

import imageio_ffmpeg
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from datasets.opening import open_dataset
from datasets.video_faces.dummy_videos import portrait_frames, write_video
from datasets.voxceleb2_frames import preparation as preparation_module
from datasets.voxceleb2_frames.assembly import NoUsableClipError, prepare_splits, remake_examples
from datasets.voxceleb2_frames.dummy_voxceleb2 import VIDEO, write_dummy, write_people
from datasets.voxceleb2_frames.pipeline import prepare_clips
from datasets.voxceleb2_frames.preparation import Preparation, prepare_once
from datasets.voxceleb2_frames.source import find_clips
from datasets.voxceleb2_frames.voxceleb2_frames_dataset_builder import (
    Builder,
    VoxCeleb2FramesConfig,
)
from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.data.batches import training_batches
from fml_tf.preprocessing.clip import ClipSettings
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings

_CLIP = ClipSettings(num_frames=2, candidates_per_image=3, crop=CropSettings(size=96))
_CONFIG = VoxCeleb2FramesConfig(name="tiny", clip=_CLIP, test_share_of_dev=0.0)
_ORIGINAL = "two_persons"


def _build(source, data_dir, options=None, config=_CONFIG):
    builder = Builder(data_dir=data_dir, config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=source, beam_options=options)
    )
    return builder


def _examples(builder):
    """Examples of both splits by person, video and clip; pixels undecoded."""
    decoders = {"frames": tfds.decode.SkipDecoding()}
    return {
        b"/".join(example[key] for key in ("person_id", "video_id", "clip_id")).decode(): example
        for split in builder.info.splits
        for example in builder.as_dataset(split, decoders=decoders).as_numpy_iterator()
    }


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, example in one.items():
        for key, value in example.items():
            np.testing.assert_array_equal(value, other[name][key], err_msg=f"{name} {key}")


def _remux(source, target, before, after):
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", *before, "-i", source, *after, target], check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Clips in a folder, others in an archive of three parts, and tracks of an original video."""
    folder = tmp_path_factory.mktemp("voxceleb2")
    write_people(folder, {"id00001": "dev", "id00002": "test", "id00003": "dev", "id00009": "dev"})
    clips = folder / "dev" / "mp4" / "id00001" / VIDEO
    clips.mkdir(parents=True)
    frames = portrait_frames(5)
    write_video(clips / "00001.mp4", frames)
    whole = (clips / "00001.mp4").read_bytes()
    (clips / "00002.mp4").write_bytes(whole[: len(whole) // 2])
    (clips / "00003.mp4").touch()
    write_video(clips / "00004.mp4", [f[::-1] for f in frames])  # nobody: faces upside down
    write_video(clips / "00005.mp4", [np.hstack([f, f[:, ::-1]]) for f in frames])  # two people
    write_video(clips / "00006.mp4", frames[:3] + [np.roll(f[::-1], 99, 1) for f in frames[:3]])
    write_video(clips / "00007.mp4", frames[:1])
    write_video(folder / "sideways.mp4", [np.rot90(f, -1) for f in frames])
    _remux(
        folder / "sideways.mp4", clips / "00008.mp4", ["-display_rotation", "90"], ["-c", "copy"]
    )
    _remux(
        clips / "00001.mp4",
        clips / "00009.mp4",
        [],
        ["-vf", "setpts=N*N/25/TB", "-fps_mode", "vfr"],
    )
    (folder / "sideways.mp4").unlink()

    _write_archive(folder / "vox2_test_mp4.zip", whole)
    archive = (folder / "vox2_test_mp4.zip").read_bytes()
    (folder / "vox2_test_mp4.zip").unlink()
    third = len(archive) // 3
    for part, start in zip(("aa", "ab", "ac"), (0, third, 2 * third), strict=True):
        end = None if part == "ac" else start + third
        (folder / f"vox2_test_mp4_part{part}").write_bytes(archive[start:end])

    (folder / "original").mkdir()
    pair = [np.hstack([np.zeros_like(f), f[:, ::-1], f]) for f in portrait_frames(50)]
    write_video(folder / "original" / f"{_ORIGINAL}.mp4", pair)
    tracks = {f"dev/txt/id00003/{_ORIGINAL}/00001.txt": _track(), "aac/other.m4a": "sound"}
    tracks[f"dev/txt/id00003/{_ORIGINAL}/00002.txt"] = "Identity  : \tid00003\n"
    tracks["dev/txt/id00009/gone_vanish/00001.txt"] = _track()
    with zipfile.ZipFile(folder / "vox2_dev_txt.zip", "w") as archive:
        for name, text in tracks.items():
            archive.writestr(name, text)
    return folder


def _write_archive(path, video):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"test/mp4/id00002/{VIDEO}/00001.mp4", video)
        archive.writestr(f"test/mp4/id00002/{VIDEO}/00002.mp4", video)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"moov")] ^= 1  # in the second video
    path.write_bytes(content)


def _track(first=10, last=40):
    """A face at the right of three squares, from frame 10 to 40."""
    rows = [f"{n:06d} \t0.750 \t0.250 \t0.170 \t0.510 " for n in range(first, last + 1)]
    return "\n".join(["Identity  : \tid00003", "", "FRAME \tX \tY \tW \tH ", *rows, ""])


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    return _build(source, tmp_path_factory.mktemp("data"))


def test_every_clip_is_made_or_counted_by_its_reason(built):
    report = json.loads((built.data_path / "report.json").read_text())
    assert report["skipped_by_reason"] == {
        "unreadable": 2,  # cut short, and empty
        "no face": 1,
        "too short": 1,
        "damaged archive": 1,
        "unreadable face track": 1,
    }
    assert report["clips"] == 13 == report["clips_made"] + report["clips_skipped"]
    assert (
        report["examples"]
        == {"train": 6, "test": 1}
        == {name: split.num_examples for name, split in built.info.splits.items()}
    )
    assert report["tracks_without_video"] == 1
    with open(built.data_path / "clips.tsv", newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file, dialect="excel-tab")}
    assert len(rows) == 13
    # Two people, a cut, a rotation in the metadata and an uneven frame rate are no obstacles.
    made = {name[-5:] for name, row in rows.items() if row["images"] == "1" and "id00001" in name}
    assert made == {"00001", "00005", "00006", "00008", "00009"}
    cut = rows[f"id00001/{VIDEO}/00002"]
    assert cut["reason"] == "unreadable" and "00002.mp4" in cut["message"]
    damaged = rows[f"id00002/{VIDEO}/00002"]
    assert "vox2_test_mp4_partaa" in damaged["message"] and "CRC" in damaged["message"]
    assert not list(built.data_path.parent.glob("*.clips"))  # what waited is gone


def test_people_of_the_test_set_are_in_no_training_example(built):
    people = {
        split: {e["person_id"] for e in built.as_dataset(split).as_numpy_iterator()}
        for split in built.info.splits
    }
    assert people == {"train": {b"id00001", b"id00003"}, "test": {b"id00002"}}


def test_examples_have_the_documented_shapes_and_name_their_source(built):
    examples = _examples(built)
    archived = examples[f"id00002/{VIDEO}/00001"]
    name = f"test/mp4/id00002/{VIDEO}/00001.mp4"
    assert archived["source"].decode() == f"vox2_test_mp4_partaa/{name}"
    assert examples[f"id00001/{VIDEO}/00001"]["source"].decode().startswith("dev/mp4/id00001/")
    for example in examples.values():
        assert example["image_number"] == 0
        assert example["landmarks"].shape == (2, 66, 2)
        assert example["landmark_confidence"].shape == (2, 66)
        assert example["crop_transform"].shape == (2, 2, 3)
        assert example["rotation"].shape == (2, 3)
        assert (np.diff(example["frame_numbers"]) > 0).all()
        assert 20 < example["landmarks"].mean() < 76
        assert tf.io.decode_jpeg(example["frames"][0]).shape == (96, 96, 3)


def test_an_original_video_gives_the_tracked_person_and_stretch(built):
    example = _examples(built)[f"id00003/{_ORIGINAL}/00001"]
    assert example["source"].decode() == f"original/{_ORIGINAL}.mp4"
    assert (example["seconds"] >= 10 / 25).all() and (example["seconds"] <= 40 / 25).all()
    for matrix, landmarks in zip(example["crop_transform"], example["landmarks"], strict=True):
        in_source = (landmarks - matrix[:, 2]) / matrix[0, 0]
        assert in_source[:, 0].min() > 960 and in_source[:, 0].max() < 1440  # the right square


def test_a_rotated_clip_is_upright(built):
    examples = _examples(built)
    upright, turned = (
        examples[f"id00001/{VIDEO}/{clip}"]["frames"][0] for clip in ("00001", "00008")
    )
    difference = np.abs(tf.io.decode_jpeg(upright).numpy().astype(int) - tf.io.decode_jpeg(turned))
    assert np.median(difference) < 12


@pytest.mark.parametrize("name", [f"id00002/{VIDEO}/00001", f"id00003/{_ORIGINAL}/00001"])
def test_an_example_is_remade_with_the_same_pixels(source, built, name):
    settings = built.info.metadata
    clip = VoxCeleb2FramesConfig(name="again", clip=settings["clip"]).clip
    (again,) = remake_examples(source, name, Preparation(clip, settings["detector"]))
    example = _examples(built)[name]
    assert again.keys() == example.keys()
    assert [frame.getvalue() for frame in again["frames"]] == list(example["frames"])
    for key in ("landmarks", "crop_transform", "rotation", "frame_numbers"):
        np.testing.assert_array_equal(again[key], example[key])


def test_training_reads_it(built):
    model_config = ModelConfig(crop_size=96)
    config = TrainConfig(
        data="voxceleb2_frames/tiny", data_dir=str(built.data_path.parents[2]), num_frames=2
    )
    opened = open_dataset(config, model_config)
    batch = next(iter(training_batches(opened, num_frames=2, global_batch_size=2, seed=0)))
    assert batch.frames.shape == (2, 2, 96, 96, 3) and batch.landmarks.shape == (2, 2, 66, 2)
    with pytest.raises(ValueError, match=r"needs --crop_size=96 --crop_margin=1\.5"):
        open_dataset(config, ModelConfig())
    with pytest.raises(ValueError, match="--num_frames=4: voxceleb2_frames/tiny has 2"):
        open_dataset(TrainConfig(data=config.data, data_dir=config.data_dir), model_config)
    with pytest.raises(ValueError, match=r"python -m datasets\.voxceleb2_frames"):
        open_dataset(TrainConfig(data="voxceleb2_frames", data_dir="nowhere"), ModelConfig())


def test_a_set_that_exists_is_taken_for_no_other(source, built, tmp_path):
    data_dir = built.data_path.parents[2]
    before = (built.data_path / "report.json").stat()
    _build(source, data_dir)
    assert (built.data_path / "report.json").stat() == before
    other = dataclasses.replace(_CONFIG, seed=1, clip=dataclasses.replace(_CLIP, num_frames=3))
    with pytest.raises(
        ValueError, match=r"\(num_frames 2, not 3, seed 0, not 1\); choose"
    ) as error:
        _build(source, data_dir, config=other)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"manual_dir {source}, not {tmp_path}"):
        _build(tmp_path, data_dir)
    (source / "exclude.txt").write_text("id00002")
    try:
        with pytest.raises(ValueError, match="has clips of id00002, who is to be excluded"):
            _build(source, data_dir)
    finally:
        (source / "exclude.txt").unlink()


def test_what_is_not_whole_is_not_opened(tmp_path):
    folder = tmp_path / "voxceleb2_frames" / "paper" / "incomplete.ABC_1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").touch()
    with pytest.raises(ValueError, match=r"not in --data_dir"):
        open_dataset(TrainConfig(data="voxceleb2_frames", data_dir=str(tmp_path)), ModelConfig())


@pytest.fixture
def good_clips(tmp_path):
    """A folder with four good clips."""
    folder = tmp_path / "voxceleb2"
    clips = folder / "dev" / "mp4" / "id00001" / VIDEO
    clips.mkdir(parents=True)
    write_people(folder, {"id00001": "dev"})
    write_video(clips / "00001.mp4", portrait_frames(3))
    for number in (2, 3, 4):
        (clips / f"{number:05d}.mp4").symlink_to(clips / "00001.mp4")
    return folder


@pytest.fixture
def prepared(monkeypatch):
    """Names of the clips that are prepared while a test runs, in this process."""
    names, prepare_images = [], preparation_module.prepare_images

    def record(clip, *arguments):
        names.append(clip.name)
        return prepare_images(clip, *arguments)

    monkeypatch.setattr(preparation_module, "prepare_images", record)
    return names


def test_a_full_disk_is_one_line_and_loses_nothing(good_clips, tmp_path, prepared):
    data_dir = tmp_path / "data"
    clips = find_clips(good_clips).clips
    preparation = Preparation(_CLIP, _CONFIG.detector)
    waiting = data_dir / "voxceleb2_frames" / "tiny" / "1.1.0.clips" / preparation.digest()
    prepare_clips(clips[:2], preparation, waiting)
    done = list(prepared)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # less than a clip's result
    try:
        with pytest.raises(OSError, match=r"no room left.*resumes from here.*tiny") as error:
            _build(good_clips, data_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert not list(data_dir.rglob("*.tfrecord*")) and len(list(waiting.rglob("*.pickle"))) == 2
    prepared.clear()
    builder = _build(good_clips, data_dir)
    assert len(done) == 2 and not set(done) & set(prepared) and len(_examples(builder)) == 4


@pytest.mark.large
def test_a_killed_build_goes_on_where_it_was(good_clips, tmp_path, prepared):
    cut, uncut = tmp_path / "cut", tmp_path / "uncut"
    command = [sys.executable, "-m", "datasets.voxceleb2_frames", f"--manual_dir={good_clips}"]
    command += [f"--data_dir={cut}", "--name=tiny", "--num_frames=2", "--candidates_per_image=3"]
    command += ["--crop_size=96", "--test_share_of_dev=0", "--beam_pipeline_options="]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        while not list(cut.rglob("*.pickle")) and process.poll() is None:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    done = {"/".join(path.parts[-4:-1]) for path in cut.rglob("*.pickle")}
    assert 1 <= len(done) < 4 and not list(cut.rglob("dataset_info.json"))
    builder = _build(good_clips, cut)
    assert not list(cut.rglob("incomplete*")) and not list(cut.rglob("*.clips"))
    assert sorted(done | set(prepared)) == [f"id00001/{VIDEO}/0000{n}" for n in (1, 2, 3, 4)]
    assert not done & set(prepared)
    _assert_equal(_examples(builder), _examples(_build(good_clips, uncut)))


def test_a_clip_that_was_replaced_is_prepared_again(good_clips, tmp_path, prepared):
    bad = good_clips / "dev" / "mp4" / "id00001" / VIDEO / "00005.mp4"
    bad.touch()
    preparation = Preparation(_CLIP, _CONFIG.detector)
    first = prepare_clips(find_clips(good_clips).clips, preparation, tmp_path / "waiting")
    assert [outcome.reason for outcome in first] == [None] * 4 + ["unreadable"]
    prepared.clear()
    write_video(bad, portrait_frames(4))
    second = prepare_clips(find_clips(good_clips).clips, preparation, tmp_path / "waiting")
    assert prepared == [f"id00001/{VIDEO}/00005"] and second[4].num_images == 1
    assert second[:4] == first[:4]


def test_a_lost_file_stops_the_build_and_a_bad_one_is_tried_again(source, tmp_path, prepared):
    preparation = Preparation(_CLIP, _CONFIG.detector)
    clips = [clip for clip in find_clips(source).clips if clip.person == "id00002"]
    part = source / "vox2_test_mp4_partab"
    part.rename(tmp_path / "away")
    try:
        with pytest.raises(FileNotFoundError, match="partab"):
            prepare_once(clips[0], preparation, tmp_path)
    finally:
        (tmp_path / "away").rename(part)
    for _ in range(2):
        outcomes = [prepare_once(clip, preparation, tmp_path) for clip in clips]
        assert [outcome.reason for outcome in outcomes] == [None, "damaged archive"]
    assert prepared == [clip.name for clip in (clips[0], *clips, clips[1])]


def test_a_changed_archive_is_told_by_the_stamps_of_its_clips(source):
    part = source / "vox2_test_mp4_partab"
    before, state = find_clips(source).clips, part.stat()
    os.utime(part, (0, 0))
    after = find_clips(source).clips
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    changed = {one.person for one, other in zip(before, after) if one.stamp != other.stamp}
    assert changed == {"id00002"}


class BlindDetector:
    """A detector that finds no face."""

    def detect(self, *args, **kwargs):
        return []


class FailingDetector:
    """A detector that fails as no one foresees."""

    def detect(self, *args, **kwargs):
        raise NotImplementedError("what is this?")


class DeadlyDetector(DlibLandmarkDetector):
    """A detector whose process dies of black pictures."""

    def detect(self, image, *args, **kwargs):
        if image.mean() < 5:
            os._exit(7)
        return super().detect(image, *args, **kwargs)


def test_whatever_a_clip_raises_is_its_outcome(good_clips, tmp_path):
    preparation = Preparation(_CLIP, f"{__name__}:{FailingDetector.__name__}")
    outcome = prepare_once(find_clips(good_clips).clips[0], preparation, tmp_path)
    assert outcome.reason == "unreadable"
    assert "00001.mp4: NotImplementedError: what is this?" in outcome.message


@pytest.mark.large
def test_a_clip_that_kills_its_worker_is_left_out_the_third_time(good_clips, tmp_path):
    black = good_clips / "dev" / "mp4" / "id00001" / VIDEO / "00005.mp4"
    write_video(black, [np.zeros_like(frame) for frame in portrait_frames(3)])
    command = [sys.executable, "-m", "datasets.voxceleb2_frames", f"--manual_dir={good_clips}"]
    command += [f"--data_dir={tmp_path}", "--name=tiny", "--num_frames=2", "--crop_size=96"]
    command += ["--candidates_per_image=3", f"--detector={__name__}:{DeadlyDetector.__name__}"]
    workers = "direct_running_mode=multi_processing,direct_num_workers=2"
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    for _ in range(2):
        build = subprocess.run(
            [*command, f"--beam_pipeline_options={workers}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert build.returncode == 1
        assert "exited with return code 7; the same command resumes" in build.stderr
    subprocess.run([*command, "--beam_pipeline_options="], env=environment, check=True)
    (path,) = tmp_path.glob("voxceleb2_frames/tiny/*/report.json")
    report = json.loads(path.read_text())
    assert report["skipped_by_reason"] == {"killed its worker": 1} and report["clips_made"] == 4


def test_what_comes_in_goes_out_or_is_counted(good_clips, tmp_path):
    write_people(good_clips, {"id00001": "dev", "id00002": "dev"})
    left_out = good_clips / "dev" / "mp4" / "id00002" / VIDEO
    left_out.mkdir(parents=True)
    (left_out / "00001.mp4").touch()
    (good_clips / "exclude.txt").write_text("id00002", encoding="utf-8-sig")
    preparation = Preparation(_CLIP, _CONFIG.detector)
    settings = {"clips_per_video": 1, "test_share_of_dev": 0.0, "seed": 0}
    prepare_splits(good_clips, preparation, tmp_path / "waiting", tmp_path, **settings)
    report = json.loads((tmp_path / "report.json").read_text())
    kinds = ("clips", "clips_made", "clips_skipped", "clips_excluded", "clips_not_drawn")
    assert [report[kind] for kind in kinds] == [5, 1, 0, 1, 3]


def test_two_builds_of_a_set_at_once_are_refused(good_clips, tmp_path):
    folder = tmp_path / "data" / "voxceleb2_frames" / "tiny"
    folder.mkdir(parents=True)
    with (folder / "1.1.0.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=r"another process is building.*1\.1\.0\.lock"):
            _build(good_clips, tmp_path / "data")


def test_another_detector_takes_its_place_by_name(good_clips, tmp_path):
    preparation = Preparation(_CLIP, f"{__name__}:{BlindDetector.__name__}")
    outcomes = prepare_clips(find_clips(good_clips).clips, preparation, tmp_path / "waiting")
    assert [outcome.reason for outcome in outcomes] == ["no face"] * 4


def test_nothing_usable_is_one_clear_line(tmp_path):
    clip = tmp_path / "mp4" / "id00001" / VIDEO / "00001.mp4"
    clip.parent.mkdir(parents=True)
    write_video(clip, portrait_frames(5, zoom=0.9))
    write_people(tmp_path, {"id00001": "dev"})
    with pytest.raises(NoUsableClipError, match=r"none of 1 clips .*face too small: 1") as error:
        _build(tmp_path, tmp_path / "data")
    assert "\n" not in str(error.value)


@pytest.mark.large
def test_the_tool_of_tfds_builds_and_training_takes_a_step(tmp_path):
    root = os.path.dirname(os.path.dirname(__file__))
    write_dummy(tmp_path / "source")
    environment = {**os.environ, "PYTHONPATH": root}

    def run(*command):
        subprocess.run(command, cwd=root, env=environment, check=True)

    tfds_tool = os.path.join(os.path.dirname(sys.executable), "tfds")
    source, data = f"--manual_dir={tmp_path / 'source'}", f"--data_dir={tmp_path}"
    workers = "direct_running_mode=multi_processing,direct_num_workers=2"
    build = (tfds_tool, "build", "datasets/voxceleb2_frames", source, data)
    run(*build, f"--beam_pipeline_options={workers}")
    (report,) = tmp_path.glob("voxceleb2_frames/paper/*/report.json")
    assert json.loads(report.read_text())["examples"] == {"train": 1, "test": 1}
    output = tmp_path / "run"
    train = (sys.executable, "train.py", "--flagfile=configs/voxceleb2.cfg", data)
    tiny = ["--template_resolution=4k", "--num_graph_nodes=100", "--network_width=0.125"]
    tiny += ["--shape_size=4", "--albedo_size=4", "--batch_size=1"]
    tiny += ["--pretrain_steps=0", "--joint_steps=1", "--finetune_steps=0"]
    run(*train, f"--output_dir={output}", *tiny)
    assert (output / "metrics.json").is_file()


@pytest.mark.large
def test_two_processes_give_what_one_gives(source, built, tmp_path):
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    options = PipelineOptions(flags)
    _assert_equal(_examples(built), _examples(_build(source, tmp_path, options)))


@pytest.mark.large
def test_a_rendered_persons_landmarks_are_found_where_they_are(tmp_path):
    source = tmp_path / "voxceleb2"
    tool = [sys.executable, "-m", "tools.layouts.voxceleb2", f"--output={source}"]
    subprocess.run([*tool, "--synthetic=1", "--num_test=0"], check=True)
    (example,) = _examples(_build(source, tmp_path)).values()
    assert example["source"] == b"original/synthetic01.mp4"
    truth = np.load(source / "truth" / "synthetic01.npy")[example["frame_numbers"]]
    scale, shift = example["crop_transform"][:, :1, 0], example["crop_transform"][:, None, :, 2]
    errors = np.linalg.norm(example["landmarks"] - (scale[..., None] * truth + shift), axis=-1)
    assert errors[:, 17:].mean() < 96 / 40  # of crops of 96 px; dlib's own places differ, too
