"""Running cases and collecting their results, on a protocol without pictures or meshes."""

import types

import numpy as np
import pytest
from full_disk import full_disk

from fml_tf.evaluation import report
from fml_tf.evaluation.markdown import markdown
from fml_tf.evaluation.mesh_predictions import saving_meshes
from fml_tf.evaluation.predictions import Frame, Prediction, Shape
from fml_tf.evaluation.predictors import Method
from fml_tf.evaluation.protocols.base import Case, Measure, Protocol, Score
from fml_tf.evaluation.results import collect, compare_results
from fml_tf.evaluation.runner import groups, open_output, run_cases
from fml_tf.files.atomic import NotWrittenError

ROOT = "some/where"


class Numbers(Protocol):
    """Frames hold a grey value, which is what they are scored by; `broken` cannot be read."""

    name = "numbers"
    settings = types.MappingProxyType({})
    template_region = None
    measures = (Measure("precise", "mm", "of some"), Measure("rough", "mm", "of all"))

    def __init__(self, greys, broken=(), precise=True):
        self._greys, self.broken, self._precise = greys, set(broken), precise
        self.loaded, self.scored = [], []

    def cases(self):
        return {name: len(greys) for name, greys in self._greys.items()}

    def load(self, name):
        self.loaded.append(name)
        if name in self.broken:
            raise PermissionError(13, "Permission denied", f"{ROOT}/{name}.jpg")
        frames = [
            Frame(f"{name}/{i}", np.full((1, 1, 3), grey, np.uint8))
            for i, grey in enumerate(self._greys[name])
        ]
        return Case(name, frames, None)

    def score(self, case, frames, prediction):
        self.scored.append((case.name, tuple(frames)))
        value = float(np.mean([case.frames[i].image.mean() for i in frames]))
        value = np.nan if value == 255 else value
        figures = {"rough": value} | ({"precise": value} if self._precise else {})
        return Score(figures, np.zeros(0), None)


def test_a_protocol_that_lacks_a_part_cannot_be_made():
    class Unscored(Numbers):
        score = Protocol.score

    with pytest.raises(TypeError, match="score"):
        Unscored({})


def test_a_protocol_scores_a_models_methods_as_they_are():
    predictor = types.SimpleNamespace(methods=lambda num_frames: [f"M = {m}" for m in num_frames])
    assert Numbers({}).model_methods(predictor, [1, 2]) == ["M = 1", "M = 2"]


def refuse_black(name, frames):
    """A method that fails without a word where a frame is black."""
    if any(frame.image.max() == 0 for frame in frames):
        raise ValueError
    return Prediction(None)


def evaluated(protocol, out, num_frames=(1,), predict=refuse_black):
    methods = [Method(f"method {count}", count, predict) for count in num_frames]
    names = list(protocol.cases())
    run_cases(protocol, methods, names, out, ROOT)
    return methods, collect(protocol, methods, names, out, seed=0)


def test_a_figure_that_is_not_finite_and_an_error_without_text_are_failed_trials(tmp_path):
    protocol = Numbers({"a": [3, 255], "b": [0, 5]})
    _, result = evaluated(protocol, tmp_path)
    method = result["methods"]["method 1"]
    assert [trial["reason"] for trial in method["failed"]] == ["a: rough is nan", "ValueError()"]
    assert method["summaries"]["precise"]["mean"] == 4 and method["trials"] == 4


def test_what_could_not_be_read_counts_by_group_and_is_all_that_is_tried_again(tmp_path):
    protocol = Numbers({"a": [3, 0], "b": [4, 5]}, broken="b")
    _, result = evaluated(protocol, tmp_path, (1, 2))
    failed = [trial["reason"] for trial in result["methods"]["method 1"]["failed"]]
    assert failed[0] == "ValueError()" and len(failed) == 3
    assert failed[1] == failed[2] == "[Errno 13] Permission denied: 'b.jpg'"
    assert len(result["methods"]["method 2"]["failed"]) == 2
    text = markdown(protocol, {"identity": {"settings": {}, "predictor": "x"}, **result})
    assert "- [Errno 13] Permission denied: 'b.jpg' (method 1, method 2)" in text

    protocol.broken.clear()
    protocol.loaded.clear()
    protocol.scored.clear()
    _, result = evaluated(protocol, tmp_path, (1, 2))
    assert protocol.loaded == ["b"]
    assert protocol.scored == [("b", (0,)), ("b", (1,)), ("b", (0, 1))]
    assert result["methods"]["method 2"]["summaries"]["precise"]["mean"] == 4.5


def test_an_m_that_no_case_has_is_refused_and_smaller_cases_are_listed(tmp_path):
    protocol = Numbers({"a": [3, 4], "b": [5]})
    with pytest.raises(ValueError, match="--num_frames=4: no case has more than 2"):
        evaluated(protocol, tmp_path, (1, 4))
    _, result = evaluated(protocol, tmp_path, (1, 2))
    assert result["methods"]["method 1"]["too_few_frames"] == []
    assert result["methods"]["method 2"]["too_few_frames"] == ["b"]
    text = markdown(protocol, {"identity": {"settings": {}, "predictor": "x"}, **result})
    assert "## Cases with too few frames\n\n- b (method 2)\n" in text


def test_a_comparison_takes_the_first_measure_that_both_have(tmp_path):
    greys = {name: [value] for value, name in enumerate("abcdef", start=1)}
    ours = evaluated(Numbers(greys), tmp_path / "ours")[1]
    theirs = evaluated(Numbers(greys, precise=False), tmp_path / "theirs")[1]
    (row,) = compare_results(Numbers(greys), ours, theirs, seed=0)
    assert (row["measure"], row["difference"], row["cases"]) == ("rough", 0.0, 6)
    (row,) = compare_results(Numbers(greys), ours, ours, seed=0)
    assert row["measure"] == "precise"


def test_pictures_show_the_trial_that_is_like_the_case(tmp_path, monkeypatch):
    shown = {}

    def show(_, method, name, trial, __):
        shown[name] = trial
        return None, None

    monkeypatch.setattr(report, "_case", show)
    protocol = Numbers({"a": [0, 1, 3, 200], "b": [100, 70, 90]}, precise=False)
    methods, result = evaluated(protocol, tmp_path)
    report.write_pictures(protocol, methods, result, tmp_path)
    assert shown == {"a": 2, "b": 2}


def test_groups_are_in_order_and_leave_out_a_rest():
    assert groups(4, 1) == [[0], [1], [2], [3]]
    assert groups(5, 2) == [[0, 1], [2, 3]]
    assert groups(1, 2) == [] and groups(0, None) == []
    assert groups(3, None) == [[0, 1, 2]]


def test_a_folder_knows_what_it_holds(tmp_path):
    identity = {"dataset": "x", "data_dir": "/a"}
    assert open_output(tmp_path / "out", identity) == open_output(tmp_path / "out", identity)
    with pytest.raises(ValueError, match="holds scores of another data_dir;"):
        open_output(tmp_path / "out", identity | {"data_dir": "/b"})
    for text in ("{", "[1]", "7"):
        (tmp_path / "out" / "evaluation.json").write_text(text)
        with pytest.raises(ValueError, match=r"evaluation\.json: damaged"):
            open_output(tmp_path / "out", identity)


def test_files_of_something_else_are_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("of the training")
    with pytest.raises(ValueError, match=r"report\.html: not written by an evaluation"):
        open_output(tmp_path, {})
    (tmp_path / "report.html").unlink()
    open_output(tmp_path, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_full_disk_ends_the_run_and_is_no_failure_of_a_method(tmp_path):
    shape = Shape(np.zeros((1000, 3)), np.array([[0, 1, 2]]), np.zeros((7, 3)))
    protocol = Numbers({"a": [1]})
    method = saving_meshes(Method("m", 1, lambda *_: Prediction(shape)), tmp_path / "meshes")
    with full_disk(10_000), pytest.raises(NotWrittenError, match=r"0\.obj: cannot be written"):
        run_cases(protocol, [method], ["a"], tmp_path, ROOT)
    assert not list(tmp_path.rglob("*.*"))
    run_cases(protocol, [method], ["a"], tmp_path, ROOT)
    assert collect(protocol, [method], ["a"], tmp_path, 0)["methods"]["m"]["failed"] == []
