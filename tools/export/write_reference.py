"""Requests and the eager model's answers, for `check.py` to compare an export with.

python -m tools.export.write_reference --checkpoint=runs/small --output=reference.npz
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tensorflow as tf
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import atomic_path
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.models.saving import load_model
from fml_tf.serving.warmup import mean_face_crop

NUM_PEOPLE = (1, 3)
NUM_FRAMES = (1, 2, 4, 7)


def expected_outputs(model: FaceReconstructor, frames, mask) -> dict[str, np.ndarray]:
    """All outputs of all signatures, from the eager model.

    Args:
      model: the model.
      frames: [B, M, S, S, 3] float32.
      mask: [B, M] bool.
    """
    num_people, num_frames = mask.shape
    parameters = model.encode(frames, mask)
    faces = model.decode(parameters)
    template = model.template

    def by_frame(values):
        values = np.moveaxis(values.numpy(), -1, 0)
        return values.reshape(num_people, num_frames, *values.shape[1:])

    neutral = np.moveaxis(faces.identity.neutral_vertices.numpy(), -1, 0)
    basis = model.expression_basis.basis
    displacements = np.tensordot(parameters.expression.numpy(), basis, 1)
    positions, vertices = by_frame(faces.positions), by_frame(faces.vertices)
    return {name: values.numpy() for name, values in parameters.by_name().items()} | {
        "neutral_vertices": neutral,
        "vertex_albedo": np.moveaxis(faces.identity.albedo.numpy(), -1, 0),
        "model_vertices": neutral[:, None] + displacements,
        "camera_vertices": vertices,
        "colours": by_frame(faces.colours),
        "positions": positions,
        "visible": by_frame(faces.visible),
        "landmarks": positions[:, :, template.landmark_vertices],
        "camera_landmarks": vertices[:, :, template.landmark_vertices],
        "triangles": np.repeat(template.triangles[None], num_people, axis=0),
    }


def example_mask(num_people: int, num_frames: int) -> np.ndarray:
    """A mask that leaves out all but the first frame of every other person, [B, M]."""
    mask = np.ones((num_people, num_frames), bool)
    mask[1::2, 1:] = False
    return mask


def reference_case(
    model: FaceReconstructor, num_people: int, num_frames: int
) -> dict[str, np.ndarray]:
    """One request, as frames and as PNG files, and the answers with and without its mask."""
    rng = np.random.default_rng((num_people, num_frames))
    # The mean face, with its colours shifted and its place too: as unlike as a small crop allows.
    crop = mean_face_crop(model)
    frames = np.empty((num_people, num_frames, *crop.shape), np.uint8)
    files = []
    for index in np.ndindex(num_people, num_frames):
        moved = np.roll(crop, rng.integers(-20, 20, 2), (0, 1))
        noisy = moved * rng.uniform(0.5, 1, 3) + rng.normal(0, 6, crop.shape)
        frames[index] = np.uint8(np.clip(noisy, 0, 255))
        files.append(tf.io.encode_png(frames[index]).numpy())
    frames = np.float32(frames) / 255
    mask = example_mask(num_people, num_frames)
    everything = np.ones_like(mask)
    case = {"frames": frames, "frame_mask": mask}
    case["image_bytes"] = np.array(files).reshape(mask.shape)
    for prefix, used in (("all", everything), ("masked", mask)):
        outputs = expected_outputs(model, frames, used)
        case |= {f"{prefix}/{name}": values for name, values in outputs.items()}
    return case


def main(arguments):
    """Writes the cases."""
    if arguments[1:]:
        raise app.UsageError(f"unexpected arguments: {arguments[1:]}")
    with one_line_errors("write_reference"):
        model = load_model(flags.FLAGS.checkpoint)
        cases = {}
        for num_people in NUM_PEOPLE:
            for num_frames in NUM_FRAMES:
                case = reference_case(model, num_people, num_frames)
                cases |= {f"B{num_people}M{num_frames}/{name}": v for name, v in case.items()}
        with atomic_path(flags.FLAGS.output) as path, open(path, "wb") as file:
            np.savez(file, **cases)
    print(f"Wrote {len(NUM_PEOPLE) * len(NUM_FRAMES)} cases to {flags.FLAGS.output}")


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Folder of a trained model.", required=True)
    flags.DEFINE_string("output", None, "File to write (.npz).", required=True)
    app.run(main)
