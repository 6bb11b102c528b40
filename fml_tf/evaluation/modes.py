r"""Modes of variation of what a model reconstructs (paper, supplemental, section 1.1).

    python -m fml_tf.evaluation.modes --checkpoint=runs/small --dataset=synthetic_faces/small \
        --output_dir=modes

PCA on the neutral shapes and the albedos of a data set's people gives a statistical model of the
faces that the network makes. Writes `model.h5` in the layout of the Basel Face Model 2017, with
`model.landmarks.txt` beside it, which `--template=modes/model.h5` loads back, and pictures of the
first modes at ±3 standard deviations.
"""

import pathlib

import cv2
import h5py
import numpy as np
from absl import app, flags
from tqdm import tqdm

from datasets import synthetic_faces
from fml_tf.evaluation.pictures import render_mesh
from fml_tf.evaluation.predictors import ModelPredictor
from fml_tf.evaluation.principal_components import PrincipalComponents, principal_components
from fml_tf.evaluation.protocols.synthetic_faces import SyntheticFaces
from fml_tf.mesh.files import atomic_path
from fml_tf.model.fml_model import load_model
from fml_tf.template.face_template import FaceTemplate

_SPREAD = 3.0  # standard deviations that the pictures show


def write_statistical_model(
    path: pathlib.Path,
    template: FaceTemplate,
    shape: PrincipalComponents,
    albedo: PrincipalComponents,
) -> None:
    """Writes a model in the layout of the Basel Face Model 2017 (HDF5, statismo).

    Groups `shape`, `color` and `expression`, each with `model/mean` [3V], `model/pcaBasis` [3V, k]
    (orthonormal), `model/pcaVariance` [k], `model/noiseVariance` [1], `representer/points` [3, V]
    and `representer/cells` [3, F]; vertex by vertex x y z in mm, or RGB in [0, 1]. Expressions are
    the template's blendshapes, orthogonalised: their PCA under independent activations of the
    template's σ.

    Args:
      path: of the .h5 file; the template's 66 landmark vertices go beside it as
        `.landmarks.txt`, one a line, counted from 0.
      template: the model's.
      shape: of neutral vertices, D = 3V.
      albedo: of colours, D = 3V.
    """
    scaled = (template.blendshapes * template.blendshape_sigma[:, None, None]).astype(np.float64)
    scaled = scaled.reshape(len(scaled), -1)
    _, singular, components = np.linalg.svd(scaled, full_matrices=False)
    kept = singular > 1e-6 * singular[0]
    expression = PrincipalComponents(
        np.zeros(scaled.shape[1]), components[kept].T, singular[kept] ** 2
    )
    points = {"shape": shape.mean, "color": shape.mean, "expression": np.zeros_like(shape.mean)}
    parts = {"shape": shape, "color": albedo, "expression": expression}
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, part in parts.items():
            group = file.create_group(name)
            group["model/mean"] = part.mean.astype(np.float32)
            group["model/pcaBasis"] = part.basis.astype(np.float32)
            group["model/pcaVariance"] = part.variance.astype(np.float32)
            group["model/noiseVariance"] = np.zeros(1, np.float32)
            group["representer/points"] = points[name].reshape(-1, 3).T.astype(np.float32)
            group["representer/cells"] = template.triangles.T.astype(np.int32)
    landmarks = "".join(f"{vertex}\n" for vertex in template.landmark_vertices)
    with atomic_path(path.with_suffix(".landmarks.txt")) as temporary:
        temporary.write_text(landmarks)


def picture_modes(
    template: FaceTemplate, shape: PrincipalComponents, albedo: PrincipalComponents, count: int
) -> np.ndarray:
    """Pictures of the first `count` modes: −3σ, mean, +3σ of the shape, then of the albedo.

    Returns:
      [240·count, 240·6, 3] uint8, a mode a row.
    """
    vertices, colours = shape.mean.reshape(-1, 3), albedo.mean.reshape(-1, 3)
    grey = np.full_like(vertices, 0.85)
    rows = []
    for mode in range(count):
        row = []
        for amount in (-_SPREAD, 0.0, _SPREAD):
            moved = vertices + amount * _mode(shape, mode)
            row.append(render_mesh(moved, template.triangles, grey))
        for amount in (-_SPREAD, 0.0, _SPREAD):
            changed = np.clip(colours + amount * _mode(albedo, mode), 0.0, 1.0)
            row.append(render_mesh(vertices, template.triangles, changed))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _mode(components, index):
    """[V, 3] one standard deviation of a component; zero where there are fewer."""
    if index >= len(components.variance):
        return np.zeros((len(components.mean) // 3, 3))
    scale = np.sqrt(components.variance[index])
    return (scale * components.basis[:, index]).reshape(-1, 3)


def main(_) -> None:
    """Reconstructs, analyses, writes."""
    options = flags.FLAGS
    name, _, variant = options.dataset.partition("/")
    if name != "synthetic_faces":
        raise app.UsageError(f"--dataset={options.dataset}: only synthetic_faces/CONFIG")
    builder = synthetic_faces.build(options.data_dir, variant or "quickstart")
    protocol = SyntheticFaces(builder, options.split)
    model = load_model(options.checkpoint)
    num_frames = builder.info.features["landmarks"].shape[0]
    pooled = ModelPredictor(model).methods([num_frames])[-1]
    shapes, albedos = [], []
    for case_name in tqdm(list(protocol.cases())[: options.max_people or None], unit="person"):
        case = protocol.load(case_name)
        prediction = pooled.predict(case_name, case.frames)
        shapes.append(prediction.shape.vertices.reshape(-1))
        albedos.append(prediction.fit.albedo.reshape(-1))
    shape = principal_components(np.stack(shapes), options.num_vectors)
    albedo = principal_components(np.stack(albedos), options.num_vectors)
    output_dir = pathlib.Path(options.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_statistical_model(output_dir / "model.h5", model.template, shape, albedo)
    picture = picture_modes(model.template, shape, albedo, options.num_pictures)
    cv2.imwrite(str(output_dir / "modes.png"), picture[..., ::-1])
    for label, part in (("shape", shape), ("albedo", albedo)):
        shares = np.cumsum(part.variance) / part.variance.sum()
        print(f"{label}: {len(shares)} components, the first five hold {shares[:5][-1]:.1%}")


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Folder of a trained model.", required=True)
    flags.DEFINE_string("dataset", "synthetic_faces/quickstart", "synthetic_faces/CONFIG.")
    flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
    flags.DEFINE_string("split", "train", "Whose people.")
    flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("max_people", 0, "Use only the first so many people; 0 all.")
    flags.DEFINE_integer("num_vectors", 125, "Most components to keep of each.", lower_bound=1)
    flags.DEFINE_integer("num_pictures", 4, "Modes to draw.", lower_bound=1)
    app.run(main)
