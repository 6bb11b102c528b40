"""Draws training examples as training sees them, with their landmarks, for the eye to check.

    python -m tools.drawing.augmentation --data=synthetic_faces/quickstart --augment_flip \
        --augment_colour=0.2 --augment_crop=0.04 --augment_blur=1.5 --output=augmentation.png

Takes train.py's flags. Each example is a pair of rows: as it is, and changed.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags

from datasets.opening import open_dataset
from fml_tf.command_line import one_line_errors
from fml_tf.config import ModelConfig, TrainConfig, define_flags, from_flags
from fml_tf.data.augmentation import Augmentation, augmentation_of
from fml_tf.data.batches import training_batches
from fml_tf.files.atomic import write_image
from fml_tf.preprocessing.pictures import draw_landmarks
from fml_tf.structures import MultiFrameBatch


def draw_rows(batch: MultiFrameBatch) -> list[np.ndarray]:
    """One picture [S, M·S, 3] uint8 for each person."""
    frames = np.round(255 * batch.frames.numpy()).astype(np.uint8)
    return [
        np.concatenate([draw_landmarks(*frame) for frame in zip(*person)], axis=1)
        for person in zip(frames, batch.landmarks.numpy(), batch.landmark_confidence.numpy())
    ]


def draw_sheet(config: TrainConfig, model_config: ModelConfig) -> np.ndarray:
    """The first batch as it is and changed, [rows, columns, 3] uint8."""
    builder = open_dataset(config, model_config)
    as_is, changed = (
        next(
            iter(
                training_batches(
                    builder,
                    num_frames=config.num_frames,
                    global_batch_size=config.batch_size,
                    seed=config.seed,
                    augmentation=augmentation,
                )
            )
        )
        for augmentation in (Augmentation(), augmentation_of(config))
    )
    pairs = zip(draw_rows(as_is), draw_rows(changed), strict=True)
    return np.concatenate([row for pair in pairs for row in pair])


def main(argv):
    """Draws the first batch."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    with one_line_errors("augmentation"):
        sheet = draw_sheet(
            from_flags(TrainConfig, flags.FLAGS), from_flags(ModelConfig, flags.FLAGS)
        )
        write_image(flags.FLAGS.output, sheet)


if __name__ == "__main__":
    define_flags(ModelConfig, __name__)
    define_flags(TrainConfig, __name__)
    flags.DEFINE_string("output", None, "PNG file to write.", required=True)
    app.run(main)
