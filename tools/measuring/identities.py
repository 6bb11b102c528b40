r"""Whether the faces of one person from different photos are closer than those of different people.

    python -m tools.measuring.identities --photos=FOLDER

FOLDER holds a folder of photos for each person, several photos of some of them. Each photo is
reconstructed by itself. Printed are the mean distances within and between people, and how often, of
two photos of one person and one of another, the two are closer: 0.5 is chance, 1 is perfect. The
distance of faces is that of their neutral shapes over the face, per vertex after similarity, mm, or
of their albedos, after the best gain, of 255.
"""

import pathlib

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from fml_tf.command_line import one_line_errors
from fml_tf.data.ground_truth import albedo_difference
from fml_tf.geometry.alignment import aligned_rmse
from fml_tf.models.saving import CHECKPOINT_HELP, load_model
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.reconstruction.reconstruction import make_refiner, reconstruct, reconstruct_frames

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of folders of photos.", required=True)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, CHECKPOINT_HELP)


def in_order(distances: np.ndarray, same: np.ndarray) -> float:
    """Share of triples (photo, another of its person, one of another person) in the right order.

    The mean over the photos of which there are such, each counting once.

    Args:
      distances: [N, N] between photos.
      same: [N, N] bool, whether they show one person.
    """
    others = same & ~np.eye(len(same), dtype=bool)
    right = [
        np.mean(row[own][:, None] < row[~mine])
        for row, own, mine in zip(distances, others, same)
        if own.any() and not mine.all()
    ]
    return float(np.mean(right))


def main(argv):
    """Prints a row for each method and measure."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    with one_line_errors("identities"):
        measure(pathlib.Path(_PHOTOS.value))


def measure(root: pathlib.Path) -> None:
    """Reconstructs all photos and prints the table."""
    photos = sorted(path for path in root.glob("*/*") if path.is_file())
    if not photos:
        raise FileNotFoundError(f"{root}: holds no folder with photos")
    model, detector = load_model(_CHECKPOINT.value), make_landmark_detector()
    methods = ("none",) if model.prior is None else ("none", "photometric")
    refiners = {method: make_refiner(model, method) for method in methods}
    face = np.flatnonzero(model.template.regions["face"])
    found = {method: [] for method in methods}
    people = []
    for photo in tqdm(photos, "photos", unit="photo"):
        try:
            frames = reconstruct(photo, model, detector=detector, refine="none").frames
        except ValueError as error:
            logging.warning("skipped: %s", error)
            continue
        people.append(photo.parent.name)
        for method, refiner in refiners.items():
            identity = reconstruct_frames(model, frames, refiner).faces.identity
            values = (identity.neutral_vertices, identity.albedo)
            found[method].append([v.numpy()[face, :, 0] for v in values])
    people = np.array(people)
    same = people[:, None] == people
    if same.sum() == len(people) or same.all():
        raise ValueError(f"{root}: needs several photos of a person, and another person")
    pairs = same & ~np.eye(len(people), dtype=bool)  # of one person
    print(f"{len(people)} photos of {len(set(people))} people, {pairs.sum() // 2} pairs of one\n")
    print("| faces | by | one person | different people | in order |")
    print("| --- | --- | --- | --- | --- |")
    names = {"none": "network", "photometric": "refined"}
    for method, values in found.items():
        shapes, albedos = zip(*values)
        for kind, difference, unit, items in (
            ("shape", aligned_rmse, "mm", shapes),
            ("albedo", albedo_difference, "of 255", albedos),
        ):
            distances = np.array([[difference(a, b) for b in items] for a in items])
            print(
                f"| {names[method]} | {kind} | {distances[pairs].mean():.2f} {unit} "
                f"| {distances[~same].mean():.2f} {unit} | {in_order(distances, same):.2f} |"
            )


if __name__ == "__main__":
    app.run(main)
