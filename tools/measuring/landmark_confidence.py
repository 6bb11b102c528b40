"""Measures how well the landmark detector's confidence predicts its error, and draws it.

    python -m tools.measuring.landmark_confidence --output=docs/images/landmark_confidence.png

The images are renderings of `synthetic_faces`, whose true landmarks are known, as they are and
spoiled: blurred, noisy, dark, of low resolution, partly covered. Errors are in px of a crop of 240.

A detector and the template's mesh do not mean the same place by a landmark's name: the mean offset
of each landmark over the images as they are belongs to the definition, not to the error, and is
subtracted everywhere. What of that offset depends on the face and its pose stays in the error.
"""

import dataclasses
import itertools
import pathlib

from fml_tf import quiet  # noqa: F401  # isort: skip

import cv2
import matplotlib.pyplot as plt
import numpy as np
import tqdm
from absl import app, flags
from scipy.stats import spearmanr

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import atomic_path
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.structures import NUM_LANDMARKS
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from tools.landmark_renderings import SPOILED, face_about, spoil

_PEOPLE = flags.DEFINE_integer("people", 60, "Rendered people.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 2026, "Of people and degradations.")
_OUTPUT = flags.DEFINE_string("output", None, "PNG file of the plot.", required=True)
_CONTOUR = 17


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """What the detector made of n images.

    Attributes:
      kinds: [n], of `SPOILED`.
      skin: [n], mean of the albedo's colours in [0, 1], dark to light.
      errors: [n, 66] px; NaN where no face was found.
      confidences: [n, 66]; NaN likewise.
    """

    kinds: np.ndarray
    skin: np.ndarray
    errors: np.ndarray
    confidences: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """[n] bool."""
        return np.isfinite(self.confidences[:, 0])

    def select(self, rows: np.ndarray) -> "Measurements":
        """Those of some images."""
        return Measurements(*(values[rows] for values in vars(self).values()))


def measure() -> Measurements:
    """Renders, spoils, detects and compares."""
    generator = FaceGenerator(FrameSettings(seed=_SEED.value, num_frames=2))
    detector = DlibLandmarkDetector()
    kinds, skin, offsets, confidences = [], [], [], []
    nothing = np.full((NUM_LANDMARKS, 2), np.nan), np.full(NUM_LANDMARKS, np.nan)
    for index in tqdm.trange(_PEOPLE.value, desc="people", unit="person"):
        rng = np.random.default_rng((_SEED.value, index))
        example = generator.example(generator.person(index), index, 0)
        for encoded, truth in zip(example["frames"], example["true_landmarks"], strict=True):
            clean = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
            for kind in SPOILED:
                face = face_about(detector.detect(spoil(clean, truth, kind, rng)), truth)
                offset, confidence = nothing
                if face is not None:
                    offset, confidence = face.landmarks - truth, face.confidence
                kinds.append(kind)
                skin.append(example["albedo"].mean())
                offsets.append(offset)
                confidences.append(confidence)
    kinds, offsets = np.array(kinds), np.array(offsets)
    definition = np.nanmean(offsets[kinds == SPOILED[0]], axis=0)
    errors = np.linalg.norm(offsets - definition, axis=-1)
    return Measurements(kinds, np.array(skin), errors, np.array(confidences))


def report(everything: Measurements) -> None:
    """Prints rank correlations, the errors of what is kept and dropped, and of groups."""
    found = everything.select(everything.found)
    errors, confidences = found.errors, found.confidences

    def correlation(points: slice) -> float:
        return -spearmanr(confidences[:, points].ravel(), errors[:, points].ravel()).statistic

    each = [correlation(slice(i, i + 1)) for i in range(NUM_LANDMARKS)]
    whole = -spearmanr(confidences.mean(axis=1), errors.mean(axis=1)).statistic
    print(f"{len(everything.kinds)} images, {len(errors)} with the face found")
    print("rank correlation of 1 - confidence with the error:")
    print(f"  all points     {correlation(slice(None)):.2f}")
    print(f"  contour        {correlation(slice(_CONTOUR)):.2f}")
    print(f"  inner points   {correlation(slice(_CONTOUR, None)):.2f}")
    print(f"  each landmark  {min(each):.2f} to {max(each):.2f}, median {np.median(each):.2f}")
    print(f"  mean of image  {whole:.2f}")
    threshold = CropSettings.min_confidence
    print(f"mean error, px, kept and dropped at confidence {threshold}:")
    for name, values, sure in (
        ("landmarks", errors, confidences),
        ("images, by their mean", errors.mean(axis=1), confidences.mean(axis=1)),
    ):
        kept = sure >= threshold
        print(
            f"  {name}: {values[kept].mean():.2f} of {kept.mean():.0%} kept,"
            f" {values[~kept].mean():.2f} of the others"
        )
    print("groups: found, of these kept, error and confidence of what was found:")
    for kind in SPOILED:
        print_group(kind, everything.select(everything.kinds == kind))
    as_they_are = everything.select(everything.kinds == SPOILED[0])
    thirds = np.digitize(as_they_are.skin, np.quantile(as_they_are.skin, (1 / 3, 2 / 3)))
    for third, name in enumerate(("darkest third of skins", "middle third", "lightest third")):
        print_group(name, as_they_are.select(thirds == third))


def print_group(name: str, group: Measurements) -> None:
    """Prints one line about a group of images."""
    found = group.select(group.found)
    kept = found.confidences.mean(axis=1) >= CropSettings.min_confidence
    print(
        f"  {name:24s}{group.found.mean():5.0%} of {len(group.kinds):3d}  {kept.mean():5.0%}"
        f" {found.errors.mean():7.2f} px {found.confidences.mean():6.2f}"
    )


def draw(found: Measurements, path: pathlib.Path) -> None:
    """Median and quartiles of the error over the confidence."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    edges = np.linspace(0, 1, 11)
    for points, name, colour in (
        (slice(_CONTOUR), "contour", "tab:orange"),
        (slice(_CONTOUR, None), "inner", "tab:blue"),
    ):
        sure, wrong = found.confidences[:, points].ravel(), found.errors[:, points].ravel()
        bins = [wrong[(sure > low) & (sure <= high)] for low, high in itertools.pairwise(edges)]
        middles = [m for m, values in zip((edges[:-1] + edges[1:]) / 2, bins) if len(values) > 20]
        quartiles = [np.quantile(values, (0.25, 0.5, 0.75)) for values in bins if len(values) > 20]
        low, median, high = np.transpose(quartiles)
        axes.plot(middles, median, "o-", color=colour, label=f"{name}: median and quartiles")
        axes.fill_between(middles, low, high, color=colour, alpha=0.2)
    axes.axvline(CropSettings.min_confidence, color="grey", ls=":", label="default threshold")
    axes.set(xlabel="confidence", ylabel="error, px of a crop of 240", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main(argv):
    """Measures, prints and draws."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    everything = measure()
    report(everything)
    with one_line_errors("landmark_confidence"):
        draw(everything.select(everything.found), pathlib.Path(_OUTPUT.value))


if __name__ == "__main__":
    app.run(main)
