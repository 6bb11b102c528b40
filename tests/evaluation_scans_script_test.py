"""evaluate.py on folders in the layouts of BU-3DFE and FaceWarehouse, with an untrained model."""

import json

import pytest
from absl import flags

import evaluate
from fml_tf.config import ModelConfig
from fml_tf.evaluation import scan_alignment
from fml_tf.models.building import build_model
from fml_tf.models.saving import save_model
from tools.layouts import bu3dfe, facewarehouse


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    model = build_model(ModelConfig(network_width=0.05, shape_size=6, albedo_size=5))
    save_model(model, directory)
    return directory


def run_script(script, **options):
    values = flags.FlagValues()
    script.define_flags(values)
    values(["script", *(f"--{name}={value}" for name, value in options.items())])
    script.main(["script"], values)


@pytest.fixture
def run(tmp_path, checkpoint, monkeypatch):
    """Makes a folder by a tool, evaluates it and returns the results."""
    monkeypatch.setattr(evaluate, "write_pictures", lambda *_: {})  # takes long

    def run(tool, dataset, made, **options):
        run_script(tool, output_dir=tmp_path / "data", **made)
        given = {"checkpoint": checkpoint, "data_dir": tmp_path / "data"} | options
        run_script(evaluate, dataset=dataset, output_dir=tmp_path / "out", **given)
        return json.loads((tmp_path / "out" / "results.json").read_text())

    return run


def test_a_whole_run_on_bu3dfe(run, monkeypatch, capsys):
    monkeypatch.setattr(scan_alignment, "_FIT_POINTS", 150)
    made = {"subjects": "F0001WH", "expressions": "HA03", "correspondence": True}
    result = run(bu3dfe, "bu3dfe", made, num_frames="1,2")
    assert list(result["methods"]) == ["mean face", "pooled 1", "averaged 2", "pooled 2"]
    for method in result["methods"].values():
        assert not method["failed"]
        assert set(method["summaries"]) == {"per_vertex", "per_vertex_rigid", "surface"}
        assert 0.5 < method["summaries"]["per_vertex"]["mean"] < 10
    assert result["methods"]["pooled 1"]["trials"] == 2
    assert "FML, Table 1" in capsys.readouterr().out


def test_a_whole_run_on_facewarehouse(run, monkeypatch, capsys):
    monkeypatch.setattr(scan_alignment, "_FIT_POINTS", 150)
    monkeypatch.setattr(facewarehouse, "_POSES", ({}, {"jawOpen": 0.7}))
    result = run(facewarehouse, "facewarehouse", {"testers": 1}, max_cases=2)
    for method in result["methods"].values():
        assert not method["failed"] and method["trials"] == 2
        assert set(method["summaries"]) == {"surface", "neutral"}
        assert 0.2 < method["summaries"]["surface"]["mean"] < 10
    # The second picture's mouth is open.
    first, second = (
        result["cases"][f"Tester_1/pose_{k}"]["mean face"][0]["figures"] for k in (0, 1)
    )
    assert first["neutral"] == pytest.approx(second["neutral"], abs=1e-2)
    assert second["surface"] > first["surface"]
    assert "FML, Table 2" in capsys.readouterr().out
