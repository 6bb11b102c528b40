"""Pictures of what a model makes of a batch: for TensorBoard and for the report."""

import numpy as np

from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.rendering.pictures import render_frame_pictures
from fml_tf.structures import MultiFrameBatch


def picture_sheet(
    model: FaceReconstructor, batch: MultiFrameBatch, num_people: int = 2
) -> np.ndarray:
    """Rows of input, overlay, albedo, shading and geometry; the M frames of a person in a row.

    Args:
      model: the model.
      batch: frames; masked ones are left out.
      num_people: how many people of the batch to show, one below the other.

    Returns:
      [5·P·H, M·W, 3] uint8.
    """
    faces = model(batch.frames, batch.frame_mask)
    mask = batch.frame_mask.numpy()
    num_frames = mask.shape[1]
    sheets = []
    for person in range(min(num_people, len(mask))):
        columns = []
        for frame in range(num_frames):
            image = batch.frames[person, frame].numpy()
            if not mask[person, frame]:
                columns.append(np.zeros((5 * image.shape[0], image.shape[1], 3), np.uint8))
                continue
            pictures = render_frame_pictures(
                image,
                faces,
                person * num_frames + frame,
                person,
                model.template,
                model.camera,
                model.backend,
            )
            columns.append(
                np.concatenate(
                    [
                        pictures[name]
                        for name in ("input", "overlay", "albedo", "shading", "geometry")
                    ]
                )
            )
        sheets.append(np.concatenate(columns, axis=1))
    return np.concatenate(sheets)
