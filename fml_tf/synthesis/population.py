"""Who there is: weights of means and identity targets whose measures are those of people."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fml_tf.geometry.smooth_fields import SymmetricFields
from fml_tf.synthesis.anthropometry import (
    DEVIATIONS,
    DRAWN,
    MEANS,
    NUM_LENGTHS,
    POPULATIONS,
    correlations,
    measure,
    offsets,
    slopes,
)
from fml_tf.template.makehuman import load_identity_assets, load_makehuman

# Standard deviation of a pair of opposite identity targets, as a share of the far end, by group;
# and how many of a group's pairs are used on average.
_TARGET_SPREAD = {
    "head": (0.22, 0.5),
    "forehead": (0.22, 0.6),
    "eyebrows": (0.35, 0.7),
    "eyes": (0.4, 0.5),
    "ears": (0.35, 0.4),
    "nose": (0.4, 0.55),
    "mouth": (0.35, 0.5),
    "cheek": (0.4, 0.7),
    "chin": (0.35, 0.6),
    "neck": (0.35, 0.6),
    "asym": (0.2, 0.25),
}
# Share of what the measures leave open that is drawn at random: with it a face is as far from the
# mean face as scans are (`docs/data.md`). Groups that faces are not measured by keep all of it.
_DETAIL = 0.25
_UNMEASURED = ("ears", "neck", "asym")
# Changes that belong to no target, mm of reach and deviation along each axis: where targets are all
# there is, a few places tell the whole face, as they do not in people.
SMOOTH_CHANGES = ((60.0, 1.2), (30.0, 1.0), (15.0, 0.5))
SMOOTH_SIGNS = (-1.0, 1.0, 1.0)
# Targets that move a place of a measure along but are not what the measure is about, or that change
# it the same way whether they go up or down.
_BESIDE = (
    "ear-", "neck-", "asym-", "forehead-", "eyebrows-", "head-age-", "eye-corner", "eye-trans-down",
    "nose-trans-in", "mouth-trans-in", "nose-volume", "nose-point-down",
)  # fmt: skip
# Largest weight, also of outlines of the head (oval, square), which may be turned round.
_MAX_TARGET, _MAX_OUTLINE = 1.0, 0.4
_SIZE_SPREAD = 0.03
_STEPS, _DAMPING, _TOLERANCE = 12, 0.7, 1e-3  # mm² or degrees²
# The survey's bands of age that an age of 0 to 1 runs over; people's ages are beta-distributed.
_BANDS = 2.0
AGE_BETA = (0.8, 1.4)
_AGE_MEAN = AGE_BETA[0] / sum(AGE_BETA)
_AGE_VARIANCE = _AGE_MEAN * (1 - _AGE_MEAN) / (sum(AGE_BETA) + 1)


class TargetAxes:
    """Identity targets as axes, one for a pair of opposites, and how they change the measures.

    Args:
      names, groups: [T] of the targets.
      opposites: [T] index of the opposite target, -1 for none.
      displacements: [T, N, 3] mm, of the coarse head (skin and accessories).
    """

    def __init__(
        self,
        names: Sequence[str],
        groups: Sequence[str],
        opposites: np.ndarray,
        displacements: np.ndarray,
    ):
        first = np.array([i for i, twin in enumerate(opposites) if twin < 0 or i < twin])
        self.num_axes = len(first)
        self._first, self._second = first, np.asarray(opposites)[first]
        self._alone = self._second < 0
        self._offsets = offsets(displacements)
        groups = np.asarray(groups)[first]
        spread, self._share = np.array([_TARGET_SPREAD[group] for group in groups]).T
        self._spread = spread * np.where(np.isin(groups, _UNMEASURED), 1.0, _DETAIL)
        beside = np.array([names[i].startswith(_BESIDE) for i in first])
        self._variance = np.where(beside, 0, self._share * spread**2)
        outline = self._alone & (groups == "head")
        self._highest = np.where(outline, _MAX_OUTLINE, _MAX_TARGET)
        self._lowest = np.where(self._alone & ~outline, 0.0, -self._highest)

    def weights(self, values: np.ndarray) -> np.ndarray:
        """Weights [T] of the targets at values [A] of the axes."""
        weights = np.zeros(len(self._offsets))
        weights[self._first] = np.where(self._alone, values, np.maximum(values, 0))
        weights[self._second[~self._alone]] = np.maximum(-values[~self._alone], 0)
        return weights

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Values [A] of the axes as their spreads have it, whatever the measures."""
        values = self._spread * rng.standard_normal(self.num_axes)
        values *= rng.random(self.num_axes) < self._share
        return np.clip(values, self._lowest, self._highest)

    def solve(
        self, start: np.ndarray, values: np.ndarray, size: float, wanted: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The likeliest values and size near the given ones that have the measures wanted.

        Damped Gauss-Newton steps on the squared change, in units of the spreads, under the measures
        as conditions: conditional means of a Gaussian if all were linear.

        Args:
          start: [K, 3] mm, `offsets` of the shape that the targets are added to.
          values: [A] of the axes.
          size: factor on the whole head.
          wanted: [M], as `measure` gives; nan for what is free.

        Returns:
          Values [A] and size.
        """
        variance = np.append(self._variance, _SIZE_SPREAD**2)
        lowest, highest = np.append(self._lowest, 0.5), np.append(self._highest, 2.0)
        given = state = np.append(values, size)
        asked = np.isfinite(wanted)
        lengths = np.zeros(len(wanted))
        for _ in range(_STEPS):
            values, size = state[:-1], state[-1]
            lines = start + np.tensordot(self.weights(values), self._offsets, 1)
            lengths[:NUM_LENGTHS] = np.linalg.norm(lines[:NUM_LENGTHS], axis=1)
            along = slopes(size * lines, size * self._offsets)
            up, down = along[:, self._first], -along[:, self._second]
            side = np.where(values > 0, up, np.where(values < 0, down, (up + down) / 2))
            jacobian = np.column_stack([np.where(self._alone, up, side), lengths])[asked]
            missing = (wanted - measure(size * lines))[asked]
            free, goal = variance.copy(), given.copy()
            for _ in range(3):  # what would pass its end stays there, the others do the rest
                spread = jacobian * free
                covariance = spread @ jacobian.T + _TOLERANCE * np.eye(len(missing))
                needed = missing + jacobian @ (state - goal)
                moved = goal + spread.T @ np.linalg.solve(covariance, needed)
                outside = (moved < lowest) | (moved > highest)
                if not outside.any():
                    break
                goal[outside] = np.clip(moved, lowest, highest)[outside]
                free[outside] = 0
            state = np.clip(state + _DAMPING * (moved - state), lowest, highest)
        return state[:-1], float(state[-1])


def sample_descent(rng: np.random.Generator) -> tuple[dict[str, float], float, float]:
    """Shares of `POPULATIONS` in a person's ancestry, masculinity and age, as `Population` takes.

    Populations and their mixtures are drawn evenly, and men and women with some in between.
    """
    shares = dict(zip(POPULATIONS, rng.dirichlet(np.full(len(POPULATIONS), 0.45))))
    return shares, rng.beta(0.6, 0.6), rng.beta(*AGE_BETA)


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """The shape of a person, for `HeadModel.neutral`.

    Attributes:
      mean_weights: of the means, sum to one.
      target_weights: of the identity targets.
      smooth_heights: [W, 3] of the waves of `SMOOTH_CHANGES`.
      size: factor on the whole head.
    """

    mean_weights: np.ndarray
    target_weights: np.ndarray
    smooth_heights: np.ndarray
    size: float


class Population:
    """Draws identities: measures as published, what they leave open from the targets' spread."""

    def __init__(self):
        assets = load_identity_assets("4k")
        parts = assets.accessories
        self._mean_names = tuple(assets.means)
        means = [
            np.concatenate([mean, *(part.means[name] for part in parts)])
            for name, mean in assets.means.items()
        ]
        self._means = offsets(np.array(means, float))
        template = load_makehuman("4k")
        points = np.concatenate([template.mean_shape, *(part.mean_shape for part in parts)])
        self._fields = SymmetricFields(points, SMOOTH_CHANGES)
        changes = [assets.target_displacements, *(part.target_displacements for part in parts)]
        self._axes = TargetAxes(
            assets.target_names,
            assets.target_groups,
            assets.target_opposites,
            np.concatenate(changes, axis=1, dtype=float),
        )
        together, self._slopes = correlations()
        self._mixing = np.linalg.cholesky(together)

    def sample(
        self, rng: np.random.Generator, shares: Mapping[str, float], masculinity: float, age: float
    ) -> Identity:
        """Draws an identity.

        Args:
          rng: source of chance.
          shares: of `POPULATIONS` in the person's ancestry, sum to one.
          masculinity: 0 for the women's measures, 1 for the men's.
          age: 0 for the youngest adults, 1 for the oldest.
        """
        weights = np.array([_weight(name, shares, masculinity, age) for name in self._mean_names])
        weights /= weights.sum()
        group = np.outer([shares[name] for name in POPULATIONS], [1 - masculinity, masculinity])
        by_age = _BANDS * self._slopes
        mean = np.einsum("ps,psm->m", group, MEANS) + by_age * (age - _AGE_MEAN)
        # The published spread is that over all ages.
        variance = np.einsum("ps,psm->m", group, DEVIATIONS) ** 2 - by_age**2 * _AGE_VARIANCE
        wanted = mean + np.sqrt(variance) * (self._mixing @ rng.standard_normal(len(mean)))
        wanted[~DRAWN] = np.nan
        heights = rng.standard_normal((self._fields.num_waves, 3))
        changes = offsets(self._fields.field(heights, SMOOTH_SIGNS))
        values, size = self._axes.solve(
            np.tensordot(weights, self._means, 1) + changes,
            self._axes.sample(rng),
            1 + _SIZE_SPREAD * rng.standard_normal(),
            wanted,
        )
        return Identity(weights, self._axes.weights(values), heights, size)


def _weight(mean_name: str, shares: Mapping, masculinity: float, age: float) -> float:
    population, sex, years = mean_name.split("-")
    weight = shares[population] * (masculinity if sex == "male" else 1 - masculinity)
    return weight * (age if years == "old" else 1 - age)
