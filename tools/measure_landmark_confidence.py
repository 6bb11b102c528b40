"""Measures how well the landmark detector's confidence tells its error, and draws it.

    python -m tools.measure_landmark_confidence --output=docs/images/landmark_confidence.png

The images are renderings of `synthetic_faces`, whose true landmarks are known, as they are and
spoiled: blurred, noisy, dark, of low resolution, partly covered. Errors are in px of a crop of 240.

A detector and the template's mesh do not mean the same place by a landmark's name: the mean offset
of each landmark over the images as they are belongs to the definition, not to the error, and is
subtracted everywhere. What of that offset depends on the face and its pose stays in the error.
"""

import itertools
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import matplotlib.pyplot as plt
import numpy as np
import tqdm
from absl import app, flags
from scipy.stats import spearmanr

from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import CropSettings
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings

_PEOPLE = flags.DEFINE_integer("people", 60, "Rendered people.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 2026, "Of people and degradations.")
_OUTPUT = flags.DEFINE_string("output", None, "PNG file of the plot.", required=True)
_KINDS = ("as it is", "blurred", "noisy", "dark", "low resolution", "covered")
_CONTOUR = 17


def spoil(
    image: np.ndarray, landmarks: np.ndarray, kind: str, rng: np.random.Generator
) -> np.ndarray:
    """An image [S, S, 3] uint8 made worse in one of `_KINDS`, mildly to badly."""
    if kind == "as it is":
        return image
    image = image.astype(np.float32)
    size = image.shape[1::-1]
    if kind == "blurred":
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 5))
    elif kind == "noisy":
        image += rng.normal(0, rng.uniform(10, 60), image.shape)
    elif kind == "dark":
        image = image * rng.uniform(0.1, 0.4) + rng.normal(0, 4, image.shape)
    elif kind == "low resolution":
        small = tuple(np.round(np.array(size) / rng.uniform(2, 7)).astype(int).tolist())
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), size)
    else:
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        centre, half = rng.uniform(low, high), (high - low) * rng.uniform(0.12, 0.3, 2)
        left, top = np.clip(centre - half, 0, size).astype(int)
        right, bottom = np.clip(centre + half, 0, size).astype(int)
        image[top:bottom, left:right] = rng.uniform(20, 230, 3)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def measure() -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Offsets [n, 66, 2] px from truth, confidences [n, 66], kinds [n], and faces not found."""
    generator = FaceGenerator(FrameSettings(seed=_SEED.value, num_frames=2))
    detector = DlibLandmarkDetector()
    offsets, confidences, kinds = [], [], []
    missed = dict.fromkeys(_KINDS, 0)
    for index in tqdm.trange(_PEOPLE.value, desc="people", unit="person"):
        rng = np.random.default_rng((_SEED.value, index))
        example = generator.example(generator.person(index), index, 0)
        for encoded, truth in zip(example["frames"], example["true_landmarks"], strict=True):
            clean = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
            for kind in _KINDS:
                faces = detector.detect(spoil(clean, truth, kind, rng))
                faces = [face for face in faces if face.box.holds(truth.mean(axis=0))]
                if not faces:
                    missed[kind] += 1
                    continue
                offsets.append(faces[0].landmarks - truth)
                confidences.append(faces[0].confidence)
                kinds.append(kind)
    return np.array(offsets), np.array(confidences), np.array(kinds), missed


def report(errors: np.ndarray, confidences: np.ndarray, kinds: np.ndarray) -> None:
    """Prints rank correlations, and the errors of what is kept and dropped."""

    def correlation(points: slice) -> float:
        return -spearmanr(confidences[:, points].ravel(), errors[:, points].ravel()).statistic

    each = [-spearmanr(confidences[:, i], errors[:, i]).statistic for i in range(errors.shape[1])]
    whole = -spearmanr(confidences.mean(axis=1), errors.mean(axis=1)).statistic
    print("rank correlation of 1 - confidence with the error:")
    print(
        f"  all points {correlation(slice(None)):.2f}; contour {correlation(slice(_CONTOUR)):.2f}"
    )
    print(f"  inner points {correlation(slice(_CONTOUR, None)):.2f}")
    print(
        f"  one landmark at a time: median {np.median(each):.2f}, {min(each):.2f}-{max(each):.2f}"
    )
    print(f"  mean of an image {whole:.2f}")
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
    for kind in _KINDS:
        of_kind = kinds == kind
        if of_kind.any():
            print(
                f"  {kind:15s} error {errors[of_kind].mean():5.2f} px,"
                f" confidence {confidences[of_kind].mean():.2f}, {of_kind.sum()} images"
            )


def draw(errors: np.ndarray, confidences: np.ndarray, path: pathlib.Path) -> None:
    """Median and quartiles of the error over the confidence."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    edges = np.linspace(0, 1, 11)
    for points, name, colour in (
        (slice(_CONTOUR), "contour", "tab:orange"),
        (slice(_CONTOUR, None), "inner", "tab:blue"),
    ):
        sure, wrong = confidences[:, points].ravel(), errors[:, points].ravel()
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
    figure.savefig(path, dpi=120)


def main(argv):
    """Measures, prints and draws."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    offsets, confidences, kinds, missed = measure()
    errors = np.linalg.norm(offsets - offsets[kinds == "as it is"].mean(axis=0), axis=-1)
    print(f"{len(errors)} faces; not found: {missed}")
    report(errors, confidences, kinds)
    draw(errors, confidences, pathlib.Path(_OUTPUT.value))


if __name__ == "__main__":
    app.run(main)
