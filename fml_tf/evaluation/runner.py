"""Runs methods over the cases of a protocol, each once, however often the run is stopped."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from fml_tf.command_line import first_line
from fml_tf.evaluation.predictions import Prediction
from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols.base import Case, Protocol, Score
from fml_tf.files.atomic import NotWrittenError, atomic_path, write_json
from fml_tf.files.folders import probe_directory

IDENTITY_FILE = "evaluation.json"
RESULTS_FILE = "results.json"
_CASE_FOLDER = "cases"
# What an evaluation writes, beside its identity.
_OUTPUT_FILES = (
    _CASE_FOLDER,
    "cases.txt",
    "meshes",
    "pictures",
    "report.html",
    RESULTS_FILE,
    "results.md",
)


def open_output(output_dir: str | os.PathLike, identity: Mapping) -> pathlib.Path:
    """Makes the folder of an evaluation, or opens that of a run that was stopped.

    Args:
      output_dir: of the run.
      identity: what its scores depend on: protocol, settings, hash of what predicts, detector,
        where the data is.

    Raises:
      ValueError: the folder holds scores of something else, a damaged record of what, or files
        that would be replaced and are of no evaluation; or it cannot be written to.
    """
    output_dir = probe_directory(output_dir)
    path = output_dir / IDENTITY_FILE
    if path.exists():
        try:
            stored = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise ValueError(f"{path}: damaged; give another --output_dir") from None
        differing = [key for key in identity if stored.get(key) != identity[key]]
        if differing:
            raise ValueError(
                f"{output_dir}: holds scores of another {', '.join(differing)}; "
                "give another --output_dir"
            )
    else:
        for name in _OUTPUT_FILES:
            if os.path.lexists(output_dir / name):
                raise ValueError(
                    f"{output_dir / name}: not written by an evaluation; give another --output_dir"
                )
        output_dir.mkdir(parents=True, exist_ok=True)
        write_json(path, dict(identity))
    return output_dir


def groups(num_frames: int, size: int | None) -> list[list[int]]:
    """Splits a case's frames into groups of `size`, in order; frames left over are not used.

    Where each M divides the number of frames, every M thus sees the same pictures. None makes one
    group of all.
    """
    size = size or max(1, num_frames)
    return [list(range(i, i + size)) for i in range(0, num_frames - size + 1, size)]


def run_cases(
    protocol: Protocol,
    methods: Sequence[Method],
    names: Sequence[str],
    output_dir: pathlib.Path,
    data_dir: str,
) -> None:
    """Scores every case by every method and keeps each case's result in a file of its own.

    What has a file is not done again, except for cases that could not be read: those are tried
    again. A method whose M is more than a case has frames does not apply to it.

    Args:
      protocol: of the cases.
      methods: to score.
      names: of the cases.
      output_dir: of `open_output`.
      data_dir: of the data set; it is left out of the reasons of failures.

    Raises:
      ValueError: no case has as many frames as a method needs.
    """
    num_frames = protocol.cases()
    most = max((num_frames[name] for name in names), default=0)
    for method in methods:
        if method.num_frames and method.num_frames > most:
            raise ValueError(f"--num_frames={method.num_frames}: no case has more than {most}")
    for name in tqdm(names, desc=f"evaluate {protocol.name}", unit="case"):
        pending = [
            method
            for method in methods
            if groups(num_frames[name], method.num_frames)
            and not _is_done(output_dir, method, name)
        ]
        if not pending:
            continue
        try:
            case = protocol.load(name)
        except (OSError, ValueError) as error:
            trial = {"frames": [], "failed": _reason(error, data_dir)}
            for method in pending:
                trials = [trial for _ in groups(num_frames[name], method.num_frames)]
                _write_case(output_dir, method, name, trials, [])
            continue
        for method in pending:
            score_case(protocol, method, case, output_dir, data_dir)


def score_case(
    protocol: Protocol, method: Method, case: Case, output_dir: pathlib.Path, data_dir: str
) -> None:
    """Scores all groups of a case's frames and writes the case's file.

    A case that turns out to have too few frames for any counts as failed.
    """
    trials, distances = [], []
    if not groups(len(case.frames), method.num_frames):
        trials = [{"frames": [], "failed": f"{case.name}: has only {len(case.frames)} frames"}]
    for frames in groups(len(case.frames), method.num_frames):
        trial = {"frames": [case.frames[i].name for i in frames]}
        try:
            prediction, score = score_group(protocol, method, case, frames)
        except NotWrittenError:  # a mesh to keep: no fault of the method's
            raise
        except (OSError, ValueError) as error:
            trials.append({**trial, "failed": _reason(error, data_dir)})
            continue
        if prediction.left_out:
            trial["left_out"] = list(prediction.left_out)
        trials.append({**trial, "figures": dict(score.figures)})
        distances.append(score.distances)
    _write_case(output_dir, method, case.name, trials, distances)


def score_group(
    protocol: Protocol, method: Method, case: Case, frames: Sequence[int]
) -> tuple[Prediction, Score]:
    """Predicts from the frames of those numbers and scores it.

    Raises:
      OSError, ValueError: they cannot be predicted from, or the prediction not scored, or by a
        figure that is not finite.
    """
    prediction = method.predict(case.name, [case.frames[i] for i in frames])
    used = [i for i in frames if case.frames[i].name not in prediction.left_out]
    score = protocol.score(case, used, prediction)
    for figure, value in score.figures.items():
        if not np.isfinite(value):
            raise ValueError(f"{case.name}: {figure} is {value}")
    return prediction, score


def read_case(output_dir: pathlib.Path, method: Method, name: str) -> tuple[list, np.ndarray]:
    """A case's trials and its distances [T, P], or of uneven length [P]."""
    path = _case_path(output_dir, method, name)
    with np.load(path.with_suffix(".npz")) as file:
        distances = file["distances"]
    return json.loads(path.read_text())["trials"], distances


def _write_case(output_dir, method, name, trials, distances):
    path = _case_path(output_dir, method, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    even = len({len(row) for row in distances}) == 1
    merged = np.stack(distances) if even else np.concatenate([*distances, np.zeros(0)])
    with atomic_path(path.with_suffix(".npz")) as temporary:
        np.savez_compressed(temporary, distances=merged.astype(np.float32))
    # Last: a case is done when this file is there.
    write_json(path, {"case": name, "method": method.name, "trials": trials})


def _is_done(output_dir, method, name):
    path = _case_path(output_dir, method, name)
    if not path.exists():
        return False
    trials = json.loads(path.read_text())["trials"]
    # A failed trial without frames is of a case that could not be read.
    return not any("failed" in trial and not trial["frames"] for trial in trials)


def _case_path(output_dir, method, name):
    # The suffix is put on whole: a name may have a dot in it.
    file_name = name.replace("/", "__") + ".json"
    return output_dir / _CASE_FOLDER / method.name.replace(" ", "_") / file_name


def _reason(error, data_dir):
    return first_line(error).replace(f"{pathlib.Path(data_dir)}{os.sep}", "")
