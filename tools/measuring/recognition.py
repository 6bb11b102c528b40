r"""How well the face recognition network tells rendered people apart.

    python -m tools.measuring.recognition

Printed are the mean cosines of descriptors of the same and of different people, plain and centred,
and the area under the ROC curve (AUC): how often a pair of pictures of one person is more alike
than a pair of different people; 0.5 is chance, 1 is perfect. Once for pairs of pictures, and once
for a picture with the bare face on black that a perfect reconstruction would draw, as the
perceptual loss compares them; the same frame is then no pair. Last, what that loss is to decide:
whether a picture is more like its own face than like another shape in its pose, light and albedo.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags
from scipy.stats import rankdata

from fml_tf.perception.recognition import DESCRIPTOR_SIZE, centred_cosine, mean_descriptor
from tools.face_descriptors import describe_people

_PEOPLE = flags.DEFINE_integer("people", 50, "Rendered people.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 2026, "Of the people.")


def area_under_curve(same: np.ndarray, other: np.ndarray) -> float:
    """Share of pairs (one of `same`, one of `other`) of which the first is larger."""
    ranks = rankdata(np.concatenate([same, other]))[: len(same)]
    return float((ranks.sum() / len(same) - (len(same) + 1) / 2) / len(other))


def print_rows(name: str, first: np.ndarray, second: np.ndarray, mean: np.ndarray) -> None:
    """Prints rows of the table, for descriptors [P, M, 128] each."""
    people, frames = first.shape[:2]
    person, frame = np.divmod(np.arange(people * frames), frames)
    of_one = person[:, None] == person
    same, other = of_one & (frame[:, None] != frame), ~of_one
    first, second = (values.reshape(-1, 1, DESCRIPTOR_SIZE) for values in (first, second))
    for kind, centre in (("plain", np.zeros_like(mean)), ("centred", mean)):
        cosines = centred_cosine(first, second[:, 0], centre).numpy()
        figures = [
            f"{cosines[pairs].mean():.3f} ± {cosines[pairs].std():.3f}" for pairs in (same, other)
        ]
        area = area_under_curve(cosines[same], cosines[other])
        print(f"| {name} | {kind} | {' | '.join(figures)} | {area:.3f} |")


def main(argv):
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    mean = mean_descriptor()
    found = describe_people(_PEOPLE.value, _SEED.value)
    print(f"norm of the stored mean: {np.linalg.norm(mean):.3f}")
    for name, values in (("pictures", found.pictures), ("faces on black", found.faces)):
        of_these = values.mean(axis=(0, 1))
        print(
            f"{name}: norm of their mean {np.linalg.norm(of_these):.3f},"
            f" its distance to the stored one {np.linalg.norm(of_these - mean):.3f}"
        )
    print("\n| of | cosine | same person | different people | AUC |")
    print("| --- | --- | --- | --- | --- |")
    print_rows("pictures", found.pictures, found.pictures, mean)
    print_rows("a picture and a face on black", found.pictures, found.faces, mean)
    own, stranger = (
        centred_cosine(found.pictures, faces, mean).numpy()
        for faces in (found.faces, found.strangers)
    )
    print(
        f"\na picture and its own face on black, centred: {own.mean():.3f} ± {own.std():.3f};"
        f" in another's shape {stranger.mean():.3f} ± {stranger.std():.3f},"
        f" less in {(stranger < own).mean():.3f} of the pictures"
    )


if __name__ == "__main__":
    app.run(main)
