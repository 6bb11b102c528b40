"""Saved models: round trips to the bit, and one clear line for what cannot be read."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from fml_tf.config import ModelConfig
from fml_tf.models import save
from fml_tf.models.building import build_model
from fml_tf.models.face_models.base import EXPRESSION
from fml_tf.models.face_models.graph import COMPLEMENT
from fml_tf.models.face_models.orthogonal_complement import graph_expression_basis
from fml_tf.models.saving import (
    BEST,
    CONSTANTS_FILE,
    LAST,
    MODEL_FILE,
    WEIGHTS_FILE,
    Description,
    check_same_model,
    load_model,
    model_hash,
    read_constants,
    read_description,
    save_model,
    weights_by_name,
)
from fml_tf.template.expression_basis import ExpressionBasis, pca_basis
from tools.export.write_random_checkpoint import randomise

TINY = ModelConfig(network_width=0.05, crop_size=64, shape_size=6, albedo_size=5)
DESCRIPTION = Description("people/1.0.0", "CC0-1.0", {"shape": 1.5}, 12)


@pytest.fixture(scope="module")
def model():
    model = build_model(TINY)
    randomise(model, seed=0)
    return model


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, directory, DESCRIPTION)
    return directory


def _answers(model):
    frames = tf.random.stateless_uniform((2, 2, 64, 64, 3), (0, 1))
    faces = model(frames, tf.ones((2, 2), tf.bool))
    return tf.nest.flatten(faces, expand_composites=True)


def test_a_loaded_model_is_the_saved_one_to_the_bit(model, saved):
    for ours, theirs in zip(_answers(model), _answers(load_model(saved)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert sorted(path.name for path in saved.iterdir()) == [
        CONSTANTS_FILE,
        MODEL_FILE,
        WEIGHTS_FILE,
    ]


def test_a_model_says_what_it_is(model, saved):
    values = json.loads((saved / MODEL_FILE).read_text())
    assert values["system"] == "fml" and values["format"] == 1
    assert values["template"]["hash"] == model.template.content_hash()
    assert values["config"]["shape_size"] == 6
    assert read_description(saved) == DESCRIPTION


def test_what_gives_the_weights_their_meaning_is_read_back_not_derived_again(model, tmp_path):
    """As if the PCA had come out with other signs: with another LAPACK it does."""
    basis = model.face_model.expression_basis
    flipped = dataclasses.replace(
        basis, basis=-basis.basis, blendshape_weights=-basis.blendshape_weights
    )
    constants = {name: value for name, value in model.face_model.constants().items()}
    constants |= {EXPRESSION + name: value for name, value in flipped.to_arrays().items()}
    other = build_model(TINY, constants)
    save_model(other, tmp_path / "flipped")
    loaded = load_model(tmp_path / "flipped")
    np.testing.assert_array_equal(loaded.expression_basis.basis, -basis.basis)
    assert isinstance(loaded.expression_basis, ExpressionBasis)
    for name, value in constants.items():
        np.testing.assert_array_equal(read_constants(tmp_path / "flipped")[name], value)


def test_sixteen_bits_halve_the_file_and_tell_what_they_cost(model, saved, tmp_path):
    save_model(model, tmp_path / "half", dtype="float16")
    whole, half = ((folder / WEIGHTS_FILE).stat().st_size for folder in (saved, tmp_path / "half"))
    assert half < 0.55 * whole
    told = json.loads((tmp_path / "half" / MODEL_FILE).read_text())["rounding"]
    assert 0 < told["vertex_error_mm_mean"] < told["vertex_error_mm_max"] < 1.0
    loaded = weights_by_name(load_model(tmp_path / "half"))
    for name, weight in weights_by_name(model).items():
        np.testing.assert_allclose(loaded[name], weight, rtol=1e-3, atol=1e-7)
    before = [variable.numpy() for variable in weights_by_name(model).values()]
    save_model(model, tmp_path / "again", dtype="float16")
    for ours, kept in zip(weights_by_name(model).values(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)  # the model itself keeps its 32 bits


def test_what_sixteen_bits_cannot_hold_is_refused(model, tmp_path):
    weight = model.face_model.mean_albedo
    kept = weight.numpy()
    weight.assign(kept * 1e6)
    try:
        with pytest.raises(ValueError, match="mean_albedo: holds a value that float16"):
            save_model(model, tmp_path / "half", dtype="float16")
    finally:
        weight.assign(kept)
    assert not list(tmp_path.iterdir())


def test_a_run_gives_its_best_or_its_last(model, saved, tmp_path):
    shutil.copytree(saved, tmp_path / LAST)
    assert load_model(tmp_path).config == TINY
    save_model(model, tmp_path / BEST, Description(steps=3))
    assert read_description(tmp_path).steps == 3
    assert model_hash(tmp_path) == model_hash(tmp_path / BEST) != model_hash(saved)


def test_a_model_in_the_way_is_replaced_as_a_whole(model, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "model" / "left over").touch()
    save_model(model, tmp_path / "model", Description(steps=4))
    assert read_description(tmp_path / "model").steps == 4
    assert not (tmp_path / "model" / "left over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def _changed(saved, tmp_path, **values):
    copy = shutil.copytree(saved, tmp_path / "copy")
    told = json.loads((copy / MODEL_FILE).read_text())
    (copy / MODEL_FILE).write_text(json.dumps(told | values))
    return copy


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_model(tmp_path)


def test_another_template(saved, tmp_path):
    copy = _changed(saved, tmp_path, template={"name": "makehuman", "hash": "0"})
    with pytest.raises(ValueError, match="another template"):
        load_model(copy)


def test_another_format(saved, tmp_path):
    with pytest.raises(ValueError, match="format 99, this version reads 1"):
        load_model(_changed(saved, tmp_path, format=99))


def test_weights_of_other_sizes(saved, tmp_path):
    config = dataclasses.asdict(dataclasses.replace(TINY, shape_size=7))
    with pytest.raises(ValueError, match=r"face_model/shape_basis \[1563, 7\] \(stored: \[1563, 6"):
        load_model(_changed(saved, tmp_path, config=config))


def test_an_unknown_system(saved, tmp_path):
    config = dataclasses.asdict(dataclasses.replace(TINY, system="fml9"))
    with pytest.raises(ValueError, match="--system=fml9: no such system"):
        load_model(_changed(saved, tmp_path, config=config))


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONSTANTS_FILE])
def test_a_damaged_or_missing_file(saved, tmp_path, name):
    copy = shutil.copytree(saved, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{name}: damaged"):
        load_model(copy)
    (copy / MODEL_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"model\.json: not a model"):
        load_model(copy)


def test_only_what_is_of_the_model_must_be_the_same(saved):
    check_same_model(saved, dataclasses.replace(TINY, initial_albedo_red=0.1))
    with pytest.raises(ValueError, match="another model: albedo_size=5"):
        check_same_model(saved, dataclasses.replace(TINY, albedo_size=9))


def _old_run(model, directory):
    """A run as version 0.1 left it."""
    config = dataclasses.asdict(model.config)
    del config["system"]
    directory.mkdir()
    text = json.dumps(config | {"template_hash": model.template.content_hash()})
    (directory / MODEL_FILE).write_text(text)
    variables = {
        "fml/" + name.removeprefix("encoder/").replace("frame_encoder/", "encoder/"): variable
        for name, variable in weights_by_name(model).items()
    }
    checkpoint = tf.train.Checkpoint(model=tf.train.Checkpoint(**variables))
    tf.train.CheckpointManager(checkpoint, str(directory / "checkpoints"), 1).save()
    return directory


def _save(*arguments):
    values = flags.FlagValues()
    save.define_flags(values)
    save.main(values(["save", *map(str, arguments)]), values)


def _old_model(model):
    """With signs of the expressions, and B_G, as that version had them."""
    basis = pca_basis(model.template, TINY.expression_variance, fixed_signs=False)
    raw = {EXPRESSION + name: value for name, value in basis.to_arrays().items()}
    skinning = model.face_model.graph.skinning_matrix().astype(np.float64)
    raw[COMPLEMENT] = graph_expression_basis(basis.basis, skinning)
    old = build_model(TINY, model.face_model.constants() | raw)
    randomise(old, seed=1)
    return old


def test_the_script_converts_runs_of_earlier_versions(model, tmp_path, capsys):
    model = _old_model(model)
    run = _old_run(model, tmp_path / "old")
    with pytest.raises(
        ValueError, match=r"earlier version; convert it: python -m fml_tf\.models\.save"
    ):
        load_model(run)
    _save(run, tmp_path / "new", "--licence=CC0-1.0")
    assert read_description(tmp_path / "new").licence == "CC0-1.0"
    for ours, theirs in zip(_answers(model), _answers(load_model(tmp_path / "new")), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for data in (run / "checkpoints").glob("*.data-*"):
        data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(SystemExit):
        _save(run, tmp_path / "newer")
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "newer").exists()


def test_the_script_takes_a_runs_model_and_refuses_a_folder_in_the_way(saved, tmp_path, capsys):
    shutil.copytree(saved, tmp_path / "run" / LAST)
    _save(tmp_path / "run", tmp_path / "out", "--which=last", "--dtype=float16")
    assert read_description(tmp_path / "out") == DESCRIPTION
    for arguments in ((tmp_path / "run", tmp_path / "out"), (tmp_path / "run",)):
        with pytest.raises(SystemExit) as error:
            _save(*arguments)
        assert error.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
