"""The files that a reconstruction is handed over in; `docs/reconstruction.md` describes them."""

import os
import pathlib

import cv2
import numpy as np

from fml_tf.files.atomic import atomic_path, write_array, write_bytes, write_image, write_text
from fml_tf.files.meshes import write_obj
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.reconstruction.edits import frontal_neutral, relight
from fml_tf.reconstruction.reconstruction import Reconstruction
from fml_tf.rendering.pictures import BACKGROUND, render_frame_pictures
from fml_tf.structures import DecodedFaces
from fml_tf.viewer.glb import face_glb
from fml_tf.viewer.page import viewer_page

# Everything that a run writes, as patterns: what an earlier run left is cleared away by these.
OUTPUT_FILES = (
    "identity.obj",
    "frame_[0-9][0-9][0-9][0-9].obj",
    "frame_[0-9][0-9][0-9][0-9][0-9].obj",
    "landmarks_3d.npy",
    "parameters.npz",
    "face.glb",
    "viewer.html",
    "overview.png",
    "overlay.mp4",
    "driven.mp4",
    "relit.png",
)
CONVENTIONS = (
    "lengths in mm; model space x to the person's left, y up, z out of the face; camera space x "
    "right, y up, the camera at the origin looking along -z; vertices_camera = R(rotation) @ "
    "vertices_model + translation, rotation = axis times angle in radian; crop px u right, v down "
    "from the outer corner of the top-left pixel; u = W/2 + f x/(-z), v = H/2 - f y/(-z); "
    "crop = crop_transform @ (u, v, 1) of the source image; illumination: [9, 3] spherical "
    "harmonics by RGB; colour = albedo * shading in sRGB"
)
_LABEL_HEIGHT = 22


def check_apart(source: str | os.PathLike, directory: str | os.PathLike) -> None:
    """Refuses an input that the output would replace or be mixed up with.

    Raises:
      ValueError: `source` is the output folder `directory`, or a file in it that is named like one
        that is written.
    """
    source, directory = pathlib.Path(os.path.realpath(source)), os.path.realpath(directory)
    named_alike = any(source.match(pattern) for pattern in OUTPUT_FILES)
    if directory == os.fspath(source) or (directory == os.fspath(source.parent) and named_alike):
        raise ValueError(f"{source}: the output would be mixed up with it; give another folder")


def write_reconstruction(
    directory: str | os.PathLike, reconstruction: Reconstruction, model: FaceReconstructor
) -> None:
    """Writes meshes, landmarks, parameters, glTF, page and overview into an existing folder."""
    directory = pathlib.Path(directory)
    template, faces = model.template, reconstruction.faces
    identity = faces.identity.neutral_vertices[..., 0].numpy()
    albedo = faces.identity.albedo[..., 0].numpy()
    write_obj(directory / "identity.obj", identity, template.triangles, albedo)
    vertices, colours = faces.vertices.numpy(), faces.colours.numpy()
    for m in range(vertices.shape[-1]):
        path = directory / f"frame_{m:04d}.obj"
        write_obj(path, vertices[..., m], template.triangles, colours[..., m])
    write_array(directory / "landmarks_3d.npy", identity[template.landmark_vertices])
    write_parameters(directory / "parameters.npz", reconstruction, model)
    glb = face_glb(faces.identity, template)
    write_bytes(directory / "face.glb", glb)
    frames = reconstruction.frames
    page = viewer_page(model, reconstruction.parameters, frames.names, frames.crops, glb)
    write_text(directory / "viewer.html", page)
    write_image(directory / "overview.png", overview(reconstruction, model))


def write_parameters(
    path: str | os.PathLike, reconstruction: Reconstruction, model: FaceReconstructor
) -> None:
    """Writes all parameters of a reconstruction as named arrays (float32 where not said)."""
    parameters, frames = reconstruction.parameters, reconstruction.frames
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            **{name: values[0].numpy() for name, values in parameters.by_name().items()},
            focal_length_px=np.float32(model.camera.focal_length_px),
            crop_size=np.array([model.camera.width, model.camera.height], np.int32),
            crop_transform=np.stack([transform.matrix for transform in frames.transforms]),
            frame_names=np.array(frames.names),
            frame_numbers=frames.numbers,
            refinement_energy=np.array(reconstruction.energy, np.float32),
            conventions=np.array(CONVENTIONS),
        )


def overview(reconstruction: Reconstruction, model: FaceReconstructor) -> np.ndarray:
    """One row of pictures a frame, under its name: input, overlay, geometry, albedo, shading.

    Above them, a row of the person looking straight ahead, neutral, under the frames' mean light.

    Returns:
      [(M + 1)·(22 + H) + 22, 5·W, 3] uint8.
    """
    frames = reconstruction.frames
    shape = (model.camera.height, model.camera.width, 3)
    front = frontal_neutral(reconstruction.parameters, model.initial_translation)
    blank = np.full(shape, BACKGROUND, np.float32)
    pictures = _pictures(blank, model.decode(front), 0, model)
    rows = [_label(5 * shape[1], list(pictures))]
    rows += [_label(5 * shape[1], ["frontal, neutral"]), _row(pictures)]
    for m, name in enumerate(frames.names):
        pictures = _pictures(frames.crops[m], reconstruction.faces, m, model)
        rows += [_label(5 * shape[1], [name]), _row(pictures)]
    return np.concatenate(rows)


def write_relit(
    path: str | os.PathLike,
    reconstruction: Reconstruction,
    model: FaceReconstructor,
    light: Reconstruction,
) -> None:
    """Writes a picture, atomically: a frame a row, as input, as overlay and in another light.

    Args:
      path: of the .png file, [M·(22 + H) + 22, 4·W, 3]; whose light it is comes first in each row.
      reconstruction: of the person.
      model: that both were made with.
      light: gives the light of its first frame.
    """
    relit = model.decode(relight(reconstruction.parameters, light.parameters.illumination[:, :1]))
    frames, rows = reconstruction.frames, []
    for m, name in enumerate(frames.names):
        own = _pictures(frames.crops[m], reconstruction.faces, m, model)
        pictures = {
            "light": light.frames.crops[0],
            "input": own["input"],
            "overlay": own["overlay"],
            "relit": _pictures(frames.crops[m], relit, m, model)["overlay"],
        }
        row = _row(pictures)
        if m == 0:
            rows.append(_label(row.shape[1], list(pictures)))
        rows += [_label(row.shape[1], [name]), row]
    write_image(path, np.concatenate(rows))


def _pictures(frame: np.ndarray, faces: DecodedFaces, m: int, model: FaceReconstructor):
    return render_frame_pictures(frame, faces, m, 0, model.template, model.camera, model.backend)


def _row(pictures: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(pictures.values()), axis=1)


def _label(width: int, texts: list[str]) -> np.ndarray:
    """A strip with the texts evenly spaced."""
    strip = np.full((_LABEL_HEIGHT, width, 3), 255, np.uint8)
    for column, text in enumerate(texts):
        place = (6 + column * width // len(texts), _LABEL_HEIGHT - 7)
        cv2.putText(
            strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA
        )
    return strip
