"""Readers of other projects' face models, on small files in their formats.

The files hold the open template's head at its coarsest, with its own expressions, so that what
comes back can be compared with what went in.
"""

import functools
import json
import pickle
import sys
import types

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from fml_tf.geometry.landmark_order import FROM_68
from fml_tf.template.bare_skin import bare_skin
from fml_tf.template.basel import read_bfm
from fml_tf.template.deformation_graph import build_deformation_graph
from fml_tf.template.flame import read_flame
from fml_tf.template.ict import read_ict
from fml_tf.template.loading import load_template
from fml_tf.template.makehuman import load_makehuman
from fml_tf.template.statistical_prior import load_prior

SHAPES = ["jawOpen", "eyeBlinkLeft", "mouthSmileLeft", "mouthSmileRight", "browDownRight"]


@functools.cache
def head():
    return load_makehuman("4k")


@functools.cache
def displacements():
    """[5, V, 3] mm."""
    template = head()
    indices = [template.blendshape_names.index(name) for name in SHAPES]
    return template.blendshapes[indices].astype(np.float64)


@functools.cache
def landmarks68():
    """The 66 landmarks, and the mouth's corners again as the inner corners."""
    landmarks = np.zeros(68, int)
    landmarks[FROM_68] = head().landmark_vertices
    landmarks[[60, 64]] = landmarks[[48, 54]]
    return landmarks


@functools.cache
def identity_basis():
    """[3, V, 3] mm, or a thousandth of it as sRGB, of people that nobody is."""
    return np.random.default_rng(0).normal(size=(3, head().num_vertices, 3))


def check_prior(path, has_albedo=True):
    """The statistical model of a file is what was written."""
    template = load_template(str(path))
    prior = load_prior("file", template, 3, str(path))
    np.testing.assert_array_equal(prior.mean_shape, template.mean_shape)
    np.testing.assert_allclose(prior.shape_basis, identity_basis(), atol=1e-3)
    if has_albedo:
        np.testing.assert_allclose(prior.albedo_basis, identity_basis() / 1000, atol=1e-5)
        np.testing.assert_allclose(prior.mean_albedo, 0.5, atol=1e-3)
    else:  # tones, the same all over
        assert prior.albedo_basis.shape == (3, template.num_vertices, 3)
        assert np.ptp(prior.albedo_basis, axis=1).max() == 0
        assert 0.2 < prior.mean_albedo.min() < prior.mean_albedo.max() < 0.8
    with pytest.raises(ValueError, match="--prior_size=1000: the prior 'file' has"):
        load_prior("file", template, 1000, str(path))


def check_head(template, mesh_error=1e-3):
    """The template is the head that was written, moved to the origin of the conventions."""
    original = head()
    offset = original.mean_shape[original.landmark_vertices[[36, 45]]].mean(axis=0) - [0, 0, 60]
    np.testing.assert_allclose(template.mean_shape, original.mean_shape - offset, atol=mesh_error)
    np.testing.assert_array_equal(
        np.sort(template.triangles, axis=None), np.sort(original.triangles, axis=None)
    )
    np.testing.assert_array_equal(template.landmark_vertices, original.landmark_vertices)
    eyes = template.mean_shape[template.landmark_vertices[[36, 45]]].mean(axis=0)
    np.testing.assert_allclose(eyes, [0, 0, 60], atol=1e-3)
    check_outward(template)
    check_derived_parts(template)


def check_outward(template):
    corners = template.mean_shape[template.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    forehead = template.mean_shape[template.landmark_vertices[27]] + [0, 25, 0]
    close = np.linalg.norm(corners.mean(axis=1) - forehead, axis=1) < 15
    assert close.sum() > 3
    assert (normals[close, 2] > 0).all()


def check_derived_parts(template):
    original = head()
    # Regions by geometry agree with those made by hand.
    for region, least in [("face", 0.8), ("lips", 0.7), ("eyelids", 0.6)]:
        derived, by_hand = template.regions[region], original.regions[region]
        overlap = (derived & by_hand).sum() / (derived | by_hand).sum()
        assert overlap > least, region
    # Bare skin is found by landmarks, so that only the region "skin" may differ.
    skin, by_hand = template.regions["skin"], original.regions["skin"]
    assert bare_skin(template).any()
    np.testing.assert_array_equal(bare_skin(template) & by_hand, bare_skin(original) & skin)
    # The mouth opens, the upper face stays.
    opening = template.mouth_opening[template.landmark_vertices]
    assert opening[61, 1] - opening[64, 1] == pytest.approx(8, abs=2.5)
    assert np.linalg.norm(opening[17:48], axis=1).max() < 2
    # Contour landmarks may slide, each near its place.
    points = template.mean_shape[template.contour_candidates]
    own = template.mean_shape[template.landmark_vertices[:17]]
    assert (template.contour_candidates == template.landmark_vertices[:17, None]).any(axis=1).all()
    assert np.linalg.norm(points - own[:, None], axis=2).max() < 80
    assert min(len(np.unique(row)) for row in template.contour_candidates) >= 3
    # What all of it is for.
    graph = build_deformation_graph(template, 100)
    np.testing.assert_allclose(graph.skinning_weights.sum(axis=1), 1, atol=1e-5)


# --- Basel Face Model -----------------------------------------------------------------------------


def write_bfm_2009(folder, drop=None):
    template = head()
    count = template.num_vertices
    extra = 7  # vertices without expressions, as the real model has
    mean = np.concatenate([template.mean_shape, np.full((extra, 3), 500.0)]) * 1000
    people = np.pad(identity_basis(), [(0, 0), (0, extra), (0, 0)]).reshape(3, -1)
    deviations = np.array([3.0, 2.0, 1.0])
    model = {
        "shapeMU": mean.reshape(-1, 1).astype(np.float32),
        "shapePC": people.T * 1000 / deviations,
        "shapeEV": deviations[:, None],
        "texMU": np.full((mean.size, 1), 127.5, np.float32),
        "texPC": people.T * 255 / 1000 / deviations,
        "texEV": deviations[:, None],
        "tl": (template.triangles[:, ::-1] + 1).astype(np.float64),  # clockwise, counted from 1
    }
    model.pop(drop, None)
    scipy.io.savemat(folder / "01_MorphableModel.mat", model)
    scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": np.arange(count)[:, None] + 1.0})
    sigma = np.arange(1, len(SHAPES) + 1)
    basis = displacements() * 1000 / sigma[:, None, None]
    with (folder / "Exp_Pca.bin").open("wb") as file:
        np.int32(len(basis)).tofile(file)
        np.zeros((count, 3), np.float32).tofile(file)
        basis.astype(np.float32).tofile(file)
    np.savetxt(folder / "std_exp.txt", sigma[None])
    lines = ["% 68 landmarks", *map(str, landmarks68() + 1)]
    (folder / "Landmarks68_BFM.anl").write_text("\n".join(lines))
    return folder / "01_MorphableModel.mat"


def write_bfm_2017(folder, drop=None):
    template = head()
    path = folder / "model2017-1_face12_nomouth.h5"
    variance = np.arange(1.0, len(SHAPES) + 1) ** 2
    deviations = np.array([3.0, 2.0, 1.0])
    fields = {
        "shape/model/mean": template.mean_shape.reshape(-1),
        "shape/representer/points": template.mean_shape.T,
        "shape/representer/cells": template.triangles.T,
        "shape/model/pcaBasis": identity_basis().reshape(3, -1).T / deviations,
        "shape/model/pcaVariance": deviations**2,
        "color/model/mean": np.full(template.mean_shape.size, 0.5, np.float32),
        "color/model/pcaBasis": identity_basis().reshape(3, -1).T / 1000 / deviations,
        "color/model/pcaVariance": deviations**2,
        "expression/model/mean": np.zeros(template.mean_shape.size, np.float32),
        "expression/model/pcaBasis": displacements().reshape(len(SHAPES), -1).T / np.sqrt(variance),
        "expression/model/pcaVariance": variance,
    }
    fields.pop(drop, None)
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            file[name] = values
    (folder / "model2017-1_face12_nomouth.landmarks.txt").write_text(
        "# counted from 0\n" + "\n".join(map(str, landmarks68()))
    )
    return path


@pytest.mark.parametrize("write", [write_bfm_2009, write_bfm_2017])
def test_bfm_round_trip(write, tmp_path):
    path = write(tmp_path)
    template = read_bfm(path)
    check_head(template)
    check_prior(path)
    # Components are stored per unit of coefficient; the template's are per standard deviation.
    np.testing.assert_allclose(template.blendshapes, displacements(), atol=1e-3)
    np.testing.assert_array_equal(template.blendshape_sigma, 1)


@pytest.mark.parametrize("field", ["shapeMU", "tl"])
def test_bfm_2009_names_the_missing_field(field, tmp_path):
    with pytest.raises(ValueError, match=rf"01_MorphableModel\.mat: field {field} is missing"):
        read_bfm(write_bfm_2009(tmp_path, drop=field))


@pytest.mark.parametrize(
    "field",
    [
        "shape/model/mean",
        "shape/representer/cells",
        "expression/model/mean",
        "expression/model/pcaBasis",
        "expression/model/pcaVariance",
    ],
)
def test_bfm_2017_names_the_missing_field(field, tmp_path):
    with pytest.raises(ValueError, match=rf"nomouth\.h5: field {field} is missing"):
        read_bfm(write_bfm_2017(tmp_path, drop=field))


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("Exp_Pca.bin", "Juyong/3DFace"),
        ("BFM_exp_idx.mat", "Deep3DFaceReconstruction"),
        ("std_exp.txt", "Deep3DFaceReconstruction"),
        ("Landmarks68_BFM.anl", "anilbas/BFMLandmarks"),
        ("01_MorphableModel.mat", "faces.dmi.unibas.ch"),
    ],
)
def test_bfm_2009_says_where_a_missing_file_is_published(name, published, tmp_path):
    path = write_bfm_2009(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing.*{published}"):
        read_bfm(path)


@pytest.mark.parametrize("write", [write_bfm_2009, write_bfm_2017])
def test_a_truncated_bfm_is_refused(write, tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=rf"{path.name}: not a readable"):
        read_bfm(path)


def test_truncated_expressions_are_refused(tmp_path):
    path = write_bfm_2009(tmp_path)
    basis = tmp_path / "Exp_Pca.bin"
    basis.write_bytes(basis.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"Exp_Pca\.bin: .* bytes"):
        read_bfm(path)


def test_a_bfm_field_of_a_wrong_shape_is_named(tmp_path):
    path = write_bfm_2017(tmp_path)
    with h5py.File(path, "a") as file:
        del file["expression/model/pcaVariance"]
        file["expression/model/pcaVariance"] = np.ones(3)
    with pytest.raises(ValueError, match=r"pcaVariance has shape \(3,\), not 5"):
        read_bfm(path)


def test_a_list_of_too_few_landmarks_is_refused(tmp_path):
    path = write_bfm_2017(tmp_path)
    (tmp_path / "few.txt").write_text("1\n2\n3\n")
    with pytest.raises(ValueError, match=r"few\.txt: 3 landmarks"):
        read_bfm(path, tmp_path / "few.txt")


# --- FLAME ----------------------------------------------------------------------------------------


def flame_fields():
    """The head with an eyeball, in metres: 300 components of identity, then the expressions."""
    template = head()
    eyeball = np.array([[0.03, 0.0, 0.05], [0.04, 0.0, 0.05], [0.03, 0.01, 0.05]])
    vertices = np.concatenate([template.mean_shape / 1000.0, eyeball])
    count = len(vertices)
    shapes = np.zeros((count, 3, 300 + len(SHAPES) - 1), np.float32)
    shapes[:-3, :, :3] = np.moveaxis(identity_basis(), 0, 2) / 1000
    # Without jawOpen, which is FLAME's pose.
    shapes[:-3, :, 300:] = np.moveaxis(displacements()[1:], 0, 2) / 1000
    jaw_open = displacements()[0]
    weights = np.zeros((count, 5))
    weights[:-3, 2] = np.clip(np.linalg.norm(jaw_open, axis=1) / 30, 0, 1)
    weights[:, 1] = 1 - weights[:, 2]
    regressor = np.zeros((5, count))
    ears = head().landmark_vertices[[0, 16]]
    regressor[2, ears] = 0.5
    return {
        "v_template": vertices,
        "f": np.concatenate([template.triangles, [[count - 3, count - 2, count - 1]]]).astype(
            np.uint32
        ),
        "shapedirs": shapes,
        "weights": weights,
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "bs_style": "lbs",
    }


def as_chumpy(array):
    """An object that pickles as chumpy's, made without chumpy."""
    module = sys.modules.setdefault("chumpy.ch", types.ModuleType("chumpy.ch"))
    sys.modules.setdefault("chumpy", types.ModuleType("chumpy"))
    if not hasattr(module, "Ch"):
        module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    wrapped = module.Ch()
    wrapped.x = array
    return wrapped


def write_flame(folder, fields, protocol=2):
    path = folder / "generic_model.pkl"
    with path.open("wb") as file:
        pickle.dump(fields, file, protocol=protocol)
    for name in ("chumpy", "chumpy.ch"):
        sys.modules.pop(name, None)
    write_flame_landmarks(folder)
    return path


def embedding():
    """Each landmark as a corner of a triangle, with most of the weight on its vertex."""
    triangles = head().triangles
    faces = np.array([np.flatnonzero((triangles == v).any(axis=1))[0] for v in landmarks68()])
    barycentrics = np.where(triangles[faces] == landmarks68()[:, None], 0.9, 0.05)
    return faces, barycentrics


def write_flame_landmarks(folder):
    faces, barycentrics = embedding()
    content = {"full_lmk_faces_idx": faces[None], "full_lmk_bary_coords": barycentrics[None]}
    np.save(folder / "landmark_embedding.npy", np.array(content, dtype=object))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_flame_round_trip(protocol, tmp_path):
    fields = flame_fields()
    for name in ("v_template", "shapedirs", "weights"):
        fields[name] = as_chumpy(fields[name])
    template = read_flame(write_flame(tmp_path, fields, protocol))
    check_head(template)  # the eyeball is gone
    check_prior(tmp_path / "generic_model.pkl", has_albedo=False)
    np.testing.assert_allclose(template.blendshapes[:-1], displacements()[1:], atol=1e-3)
    assert template.blendshape_names[-1] == "jawOpen"
    chin = template.blendshapes[-1, template.landmark_vertices[8]]
    assert chin[1] < -7 and chin[2] < 0  # down and back, as a jaw turns


def test_flame_without_chumpy_and_with_static_landmarks(tmp_path):
    path = write_flame(tmp_path, flame_fields())
    (tmp_path / "landmark_embedding.npy").unlink()
    faces, barycentrics = embedding()
    np.savez(
        tmp_path / "flame_static_embedding_68_v4.npz", lmk_face_idx=faces, lmk_b_coords=barycentrics
    )
    check_head(read_flame(path))


@pytest.mark.parametrize("field", ["v_template", "f", "shapedirs", "weights", "J_regressor"])
def test_flame_names_the_missing_field(field, tmp_path):
    fields = flame_fields()
    del fields[field]
    with pytest.raises(ValueError, match=rf"generic_model\.pkl: field {field} is missing"):
        read_flame(write_flame(tmp_path, fields))


def test_flame_says_where_its_files_are_published(tmp_path):
    path = write_flame(tmp_path, flame_fields())
    (tmp_path / "landmark_embedding.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"landmark_embedding\.npy is missing.*DECA"):
        read_flame(path)
    with pytest.raises(FileNotFoundError, match=r"none\.pkl is missing.*flame\.is\.tue\.mpg\.de"):
        read_flame(tmp_path / "none.pkl")


def test_flames_51_static_landmarks_are_too_few(tmp_path):
    path = write_flame(tmp_path, flame_fields())
    faces, barycentrics = embedding()
    few = tmp_path / "flame_static_embedding.pkl"
    few.write_bytes(
        pickle.dumps({"lmk_face_idx": faces[17:], "lmk_b_coords": barycentrics[17:]}, protocol=2)
    )
    with pytest.raises(ValueError, match=r"51 landmarks .* 68 are needed"):
        read_flame(path, few)


def test_a_truncated_flame_is_refused(tmp_path):
    path = write_flame(tmp_path, flame_fields())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"generic_model\.pkl: not readable as a pickle"):
        read_flame(path)


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_a_pickle_that_calls_functions_is_refused(tmp_path):
    target = tmp_path / "touched"
    fields = flame_fields() | {"v_template": Payload(str(target))}
    path = write_flame(tmp_path, fields)
    with pytest.raises(ValueError, match=r"it asks for .*open, which is not an array"):
        read_flame(path)
    assert not target.exists()


# --- ICT-FaceKit ----------------------------------------------------------------------------------


def write_ict(folder, drop=None):
    model = folder / "FaceXModel"
    model.mkdir()
    template = head()
    tooth = np.array([[0.0, -3.0, 5.0], [0.1, -3.0, 5.0], [0.0, -2.9, 5.0]])
    names = ["jawOpen", "eyeBlink_L", "mouthSmile_L", "mouthSmile_R", "browDown_R"]
    config = {"expressions": names, "idx_to_landmark_verts": landmarks68().tolist()}
    config.pop(drop, None)
    (model / "vertex_indices.json").write_text(json.dumps(config))
    count = template.num_vertices
    # Two triangles as one polygon of four, where they share an edge in the right place.
    lines = ["mtllib ICTFaceModelMaterial.mtl", "vt 0.5 0.5"]
    faces = [" ".join(f"{v + 1}/1" for v in triangle) for triangle in template.triangles]
    faces.append(f"{count + 1}/1 {count + 2}/1 {count + 3}/1")
    people = [f"identity{i:03d}" for i in range(len(identity_basis()))]
    for name, move in zip(
        ["generic_neutral_mesh", *names, *people],
        [0 * displacements()[0], *displacements(), *identity_basis()],
    ):
        vertices = np.concatenate([(template.mean_shape + move) / 10, tooth])
        rows = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in vertices]
        text = "\n".join([*lines, *rows, *(f"f {face}" for face in faces)])
        (model / f"{name}.obj").write_text(text + "\n")
    return model


def test_ict_round_trip(tmp_path):
    write_ict(tmp_path)
    template = read_ict(tmp_path)
    check_head(template)  # the tooth is gone
    check_prior(tmp_path, has_albedo=False)
    np.testing.assert_allclose(template.blendshapes, displacements(), atol=1e-3)
    assert template.blendshape_names == tuple(SHAPES)


def test_ict_polygons_are_cut_into_triangles(tmp_path):
    model = write_ict(tmp_path)
    path = model / "generic_neutral_mesh.obj"
    lines = path.read_text().splitlines()
    faces = [line for line in lines if line.startswith("f ")]
    rest = [line for line in lines if not line.startswith("f ")]
    # The two halves of the template's quads follow one another.
    whole = []
    template = head().triangles
    i = 0
    while i < len(template):
        pair = template[i : i + 2]
        if len(pair) == 2 and pair[0, 0] == pair[1, 0] and pair[0, 2] == pair[1, 1]:
            whole.append("f " + " ".join(f"{v + 1}/1" for v in [*pair[0], pair[1, 2]]))
            i += 2
        else:
            whole.append(faces[i])
            i += 1
    assert len(whole) < 0.6 * len(faces)
    path.write_text("\n".join([*rest, *whole]) + "\n")
    check_head(read_ict(model))


@pytest.mark.parametrize("field", ["expressions", "idx_to_landmark_verts"])
def test_ict_names_the_missing_field(field, tmp_path):
    model = write_ict(tmp_path, drop=field)
    with pytest.raises(ValueError, match=rf"vertex_indices\.json: field {field} is missing"):
        read_ict(model)


def test_ict_names_the_missing_file(tmp_path):
    model = write_ict(tmp_path)
    (model / "mouthSmile_L.obj").unlink()
    with pytest.raises(FileNotFoundError, match=r"mouthSmile_L\.obj is missing.*ICT-FaceKit"):
        read_ict(model)


def test_a_truncated_ict_expression_is_refused(tmp_path):
    model = write_ict(tmp_path)
    path = model / "browDown_R.obj"
    path.write_text(path.read_text()[:5000])
    with pytest.raises(ValueError, match=r"browDown_R\.obj: "):
        read_ict(model)
