import dataclasses

import numpy as np
import pytest

from fml_tf.template.face_template import REGIONS, FaceTemplate
from fml_tf.template.makehuman import load_makehuman


@pytest.fixture
def template():
    return FaceTemplate(
        name="tetrahedron",
        mean_shape=np.eye(4, 3, dtype=np.float32),
        triangles=np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32),
        uv=None,
        blendshapes=np.ones((2, 4, 3), np.float32),
        blendshape_names=("a", "b"),
        blendshape_sigma=np.array([0.5, 1], np.float32),
        landmark_vertices=np.zeros(66, np.int32),
        contour_candidates=np.zeros((17, 2), np.int32),
        regions={name: np.ones(4, bool) for name in REGIONS},
        mouth_opening=np.zeros((4, 3), np.float32),
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("triangles", np.array([[0, 1, 4]], np.int32), r"triangles indexes .* \[0, 4\)"),
        ("landmark_vertices", np.full(66, -1, np.int32), "landmark_vertices indexes"),
        ("landmark_vertices", np.zeros(68, np.int32), r"landmark_vertices is int32\[68\]"),
        ("contour_candidates", np.zeros((9, 2), np.int32), "contour_candidates is"),
        ("blendshapes", np.ones((2, 5, 3), np.float32), "blendshapes is"),
        ("blendshapes", np.full((2, 4, 3), np.nan, np.float32), "not finite"),
        ("mean_shape", np.eye(4, 3), "mean_shape is float64"),
        ("blendshape_names", ("a",), "1 blendshape_names for 2"),
        ("blendshape_sigma", np.zeros(2, np.float32), "must be positive"),
        ("uv", np.zeros((3, 2), np.float32), "uv is"),
        ("regions", {"face": np.ones(4, bool)}, "regions are"),
        ("regions", {name: np.ones(5, bool) for name in REGIONS}, "region face must be"),
    ],
)
def test_refuses_a_field_that_does_not_fit(template, field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(template, **{field: value})


def test_content_hash_follows_the_content(template):
    same = dataclasses.replace(template, name="other", mean_shape=template.mean_shape.copy())
    assert same.content_hash() == template.content_hash()
    lips = np.array([True, False, True, True])
    changes = {
        "mean_shape": template.mean_shape * np.float32(1.001),
        "triangles": template.triangles[::-1].copy(),
        "uv": np.zeros((4, 2), np.float32),
        "blendshape_names": ("a", "c"),
        "regions": {**template.regions, "lips": lips},
        "mouth_opening": template.mean_shape,
    }
    hashes = {dataclasses.replace(template, **{f: v}).content_hash() for f, v in changes.items()}
    assert len(hashes | {template.content_hash()}) == len(changes) + 1


def test_content_hash_tells_levels_and_means_apart():
    hashes = {
        load_makehuman(*arguments).content_hash()
        for arguments in (("4k",), ("16k",), ("4k", "asian-male-old"))
    }
    assert len(hashes) == 3
