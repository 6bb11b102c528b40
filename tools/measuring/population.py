r"""Measures synthetic people against published anthropometry.

    python -m tools.measuring.population [--people=300]

For each sex and population: the mean and spread of every measure over people of that descent alone,
beside the published ones of `fml_tf/synthesis/anthropometry.py`. A cell reads "measured mean
(published); z; ratio", where z is the difference of the means in published standard deviations and
the ratio is that of the standard deviations, measured to published.

Then the same for correlations, and how far the faces of people as the data set draws them lie from
their mean face: the median distance of a face's vertices from the surface of the mean face, after
the best similarity. `python -m tools.drawing.synthetic_faces --layout=frontal` draws people.
"""

import numpy as np
from absl import app, flags

from fml_tf.geometry.alignment import procrustes
from fml_tf.geometry.surface import Surface
from fml_tf.synthesis.anthropometry import (
    DEVIATIONS,
    DRAWN,
    MEANS,
    MEASURES,
    POPULATIONS,
    SEXES,
    correlations,
    measure,
    offsets,
)
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.population import AGE_BETA, Population, sample_descent

_PEOPLE = flags.DEFINE_integer("people", 300, "People of each group.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Of the people.")


def measured_group(
    head: HeadModel, people: Population, population: str, sex: str, count: int, seed: int
) -> np.ndarray:
    """Measures [count, M] of people of one sex and population, and of all ages."""
    shares = {name: float(name == population) for name in POPULATIONS}
    rng = np.random.default_rng((seed, POPULATIONS.index(population), SEXES.index(sex)))
    heads = (
        head.neutral(people.sample(rng, shares, float(sex == "male"), rng.beta(*AGE_BETA)))
        for _ in range(count)
    )
    return np.stack([measure(offsets(shape.astype(float))) for shape in heads])


def distances_from_mean(head: HeadModel, people: Population, count: int, seed: int) -> np.ndarray:
    """[count] mm, medians over the face of the distances from the people's mean face."""
    template, rng = head.template, np.random.default_rng((seed, 9))
    face = np.flatnonzero(template.regions["face"])
    heads = [head.neutral(people.sample(rng, *sample_descent(rng))) for _ in range(count)]
    heads = [shape[: template.num_vertices] for shape in heads]
    mean = heads[0]
    for _ in range(3):  # of Procrustes analysis
        mean = np.mean([procrustes(h[face], mean[face]).apply(h) for h in heads], axis=0)
    triangles = template.triangles[np.isin(template.triangles, face).all(axis=1)]
    surface = Surface(mean, triangles)
    medians = []
    for shape in heads:
        similarity = procrustes(shape[face], mean[face])
        distances = surface.closest(similarity.apply(shape[face])).distances
        medians.append(np.median(distances) / similarity.scale)
    return np.array(medians)


def main(_):
    """Prints the tables."""
    head, people = HeadModel("4k"), Population()
    groups = [(population, sex) for population in POPULATIONS for sex in SEXES]
    values = [measured_group(head, people, *g, _PEOPLE.value, _SEED.value) for g in groups]
    means = np.stack([v.mean(axis=0) for v in values])
    z = (means - MEANS.reshape(means.shape)) / DEVIATIONS.reshape(means.shape)
    ratios = np.stack([v.std(axis=0, ddof=1) for v in values]) / DEVIATIONS.reshape(means.shape)
    print(f"n = {_PEOPLE.value} a group\n")
    print("| measure | source | " + " | ".join(" ".join(group) for group in groups) + " |")
    print("| --- | --- |" + " --- |" * len(groups))
    for m, row in enumerate(MEASURES):
        cells = [
            f"{means[g, m]:.1f} ({MEANS.reshape(means.shape)[g, m]:.1f}); "
            f"{z[g, m]:+.2f}; {ratios[g, m]:.2f}"
            for g in range(len(groups))
        ]
        name = f"{row.name} {row.symbol}" + ("" if row.drawn else " (only its mean is set)")
        print(f"| {name} | {row.sources} | " + " | ".join(cells) + " |")
    drawn = ratios[:, DRAWN]
    print(f"\nlargest |z| {np.abs(z).max():.2f}; ratios {drawn.min():.2f} to {drawn.max():.2f}")

    wanted = correlations()[0][np.ix_(DRAWN, DRAWN)]
    within = np.concatenate([(v - v.mean(axis=0)) / v.std(axis=0) for v in values])[:, DRAWN]
    errors = (np.corrcoef(within.T) - wanted)[np.triu_indices(len(wanted), 1)]
    print(f"correlations: off by {np.sqrt(np.mean(errors**2)):.3f} RMS, {np.abs(errors).max():.2f}")
    distances = distances_from_mean(head, people, _PEOPLE.value, _SEED.value)
    print(f"distance from the mean face: {distances.mean():.2f} mm, SD {distances.std():.2f}")


if __name__ == "__main__":
    app.run(main)
