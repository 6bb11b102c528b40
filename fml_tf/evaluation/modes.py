r"""Modes of variation of what a model reconstructs (paper, supplemental, section 1.1).

    python -m fml_tf.evaluation.modes --checkpoint=runs/small \
        --data=data/synthetic_faces/small/7.0.0 --output_dir=modes

PCA on the neutral shapes and the albedos of a data set's people, such as those of the training,
gives a statistical model of the faces that the network makes. Writes `model.h5` in the layout of
the Basel Face Model 2017, with `model.landmarks.txt` beside it, and pictures of the first modes at
±3 standard deviations. `--template=modes/model.h5` loads its mean shape, expressions and landmarks.
"""

import io
import itertools
import pathlib
from collections.abc import Sequence

import h5py
import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.data.batches import evaluation_examples
from fml_tf.evaluation.pictures import render_mesh, titled
from fml_tf.evaluation.predictions import Frame
from fml_tf.evaluation.predictors import ModelPredictor
from fml_tf.evaluation.principal_components import PrincipalComponents, principal_components
from fml_tf.files.atomic import write_bytes, write_image, write_text
from fml_tf.files.folders import check_output_directory, output_directory
from fml_tf.models.saving import load_model
from fml_tf.template.face_template import FaceTemplate

_OUTPUT_FILES = ("model.h5", "model.landmarks.txt", "modes.png")
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
        `.landmarks.txt`, one per line, counted from 0.
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
    buffer = io.BytesIO()  # on a full disk h5py crashes
    with h5py.File(buffer, "w") as file:
        for name, part in parts.items():
            group = file.create_group(name)
            group["model/mean"] = part.mean.astype(np.float32)
            group["model/pcaBasis"] = part.basis.astype(np.float32)
            group["model/pcaVariance"] = part.variance.astype(np.float32)
            group["model/noiseVariance"] = np.zeros(1, np.float32)
            group["representer/points"] = points[name].reshape(-1, 3).T.astype(np.float32)
            group["representer/cells"] = template.triangles.T.astype(np.int32)
    write_bytes(path, buffer.getvalue())
    landmarks = "".join(f"{vertex}\n" for vertex in template.landmark_vertices)
    write_text(path.with_suffix(".landmarks.txt"), landmarks)


def picture_modes(
    template: FaceTemplate, shape: PrincipalComponents, albedo: PrincipalComponents, count: int
) -> np.ndarray:
    """Pictures of the first `count` modes: −3σ, mean, +3σ of the shape, then of the albedo.

    Returns:
      [262·count, 240·6, 3] uint8, a mode a row.
    """
    vertices, colours = shape.mean.reshape(-1, 3), albedo.mean.reshape(-1, 3)
    grey = np.full_like(vertices, 0.85)
    rows = []
    for mode in range(count):
        row = []
        for amount in (-_SPREAD, 0.0, _SPREAD):
            moved = vertices + amount * _mode(shape, mode)
            picture = render_mesh(moved, template.triangles, grey)
            row.append(titled(picture, f"shape, mode {mode + 1}: {amount:+g} sigma"))
        for amount in (-_SPREAD, 0.0, _SPREAD):
            changed = np.clip(colours + amount * _mode(albedo, mode), 0.0, 1.0)
            picture = render_mesh(vertices, template.triangles, changed)
            row.append(titled(picture, f"albedo, mode {mode + 1}: {amount:+g} sigma"))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _mode(components, index):
    """[V, 3] one standard deviation of a component; zero where there are fewer."""
    if index >= len(components.variance):
        return np.zeros((len(components.mean) // 3, 3))
    scale = np.sqrt(components.variance[index])
    return (scale * components.basis[:, index]).reshape(-1, 3)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines this script's flags."""

    def text(*arguments):
        flags.DEFINE_string(*arguments, flag_values=flag_values)

    def number(*arguments, lower_bound):
        flags.DEFINE_integer(*arguments, lower_bound=lower_bound, flag_values=flag_values)

    text("checkpoint", None, "A saved model, or the --output_dir of train.py.")
    text("data", None, "Folder of a prepared data set, version included.")
    text("split", "train", "Split whose people are analysed.")
    text("output_dir", None, "Folder to write to.")
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Replace the files of an earlier run in --output_dir.",
        flag_values=flag_values,
    )
    number("max_people", 0, "Use only this many people, the first; 0 uses all.", lower_bound=0)
    number("num_frames", 4, "M, the most frames of a person.", lower_bound=1)
    number("num_vectors", 125, "Components of shape and of albedo to keep, at most.", lower_bound=1)
    number("num_pictures", 4, "Modes to draw.", lower_bound=1)


def analyse(options: flags.FlagValues) -> None:
    """Reconstructs, analyses, writes.

    Raises:
      FileNotFoundError, ValueError: a checkpoint or data that cannot be used.
    """
    check_output_directory(options.output_dir, _OUTPUT_FILES, options.overwrite)
    model = load_model(options.checkpoint)
    builder = tfds.builder_from_directory(options.data)
    predictor = ModelPredictor(model)
    shapes, albedos = [], []
    people = evaluation_examples(builder, options.split, options.num_frames)
    people = itertools.islice(people, options.max_people or None)
    for number, (batch, _) in enumerate(tqdm(people, unit="person")):
        images = np.rint(255.0 * batch.frames[0].numpy()).astype(np.uint8)
        frames = [
            Frame(f"{number}/{i}", images[i], is_crop=True)
            for i in np.flatnonzero(batch.frame_mask[0])
        ]
        prediction = predictor.predict_pooled(str(number), frames)
        shapes.append(prediction.shape.vertices.reshape(-1))
        albedos.append(prediction.fit.albedo.reshape(-1))
    shape = principal_components(shapes, options.num_vectors)
    albedo = principal_components(albedos, options.num_vectors)
    picture = picture_modes(model.template, shape, albedo, options.num_pictures)
    with output_directory(options.output_dir, _OUTPUT_FILES, options.overwrite) as output_dir:
        write_statistical_model(output_dir / "model.h5", model.template, shape, albedo)
        write_image(output_dir / "modes.png", picture)
    for label, part in (("shape", shape), ("albedo", albedo)):
        shares = np.cumsum(part.variance) / part.variance.sum()
        print(f"{label}: {len(shares)} components, the first five hold {shares[:5][-1]:.1%}")


def main(argv: Sequence[str], options: flags.FlagValues = flags.FLAGS) -> None:
    """Analyses; one line says what cannot be used."""
    with one_line_errors("modes"):
        if argv[1:]:
            raise ValueError(f"{argv[1]}: not a flag; all arguments are --flags")
        if not (options.checkpoint and options.data and options.output_dir):
            raise ValueError("give --checkpoint, a trained model, --data and --output_dir")
        analyse(options)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
