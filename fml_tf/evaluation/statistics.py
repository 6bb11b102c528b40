"""What the figures of many cases say: summaries with intervals, and paired comparison.

Cases of one person are not independent: people are resampled, and their signs flipped, as a whole.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import scipy.stats

_RESAMPLES = 10_000
_BLOCK = 100  # resamples drawn at once


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of the figures of n cases.

    Attributes:
      mean: over the cases.
      interval: 95 % confidence interval of the mean, by bootstrap over people; None for only one.
      median: over the cases.
      sd: standard deviation (n − 1 in the denominator); 0 for n = 1.
      n: cases that have a figure.
    """

    mean: float
    interval: tuple[float, float] | None
    median: float
    sd: float
    n: int


def summarise(values: np.ndarray, seed: int, people: Sequence[Hashable] | None = None) -> Summary:
    """Summarises figures [n].

    Args:
      values: finite, one per case.
      seed: of the resampling.
      people: whom each case shows; None if each is somebody else.

    Raises:
      ValueError: no value, or one that is not finite.
    """
    values = _checked(values)
    return Summary(
        mean=float(values.mean()),
        interval=_interval(*_by_person(values, people), seed),
        median=float(np.median(values)),
        sd=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        n=len(values),
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Of two methods on the same cases.

    Attributes:
      difference: mean of ours minus theirs.
      interval: 95 % confidence interval of it, by bootstrap over people; None for only one.
      p_value: two-sided, of a paired permutation (sign flip) test of the mean difference.
      n: cases that both have a figure for.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float
    n: int


def compare(
    ours: np.ndarray, theirs: np.ndarray, seed: int, people: Sequence[Hashable] | None = None
) -> Comparison:
    """Compares the figures [n] of two methods on the same n cases.

    The test is exact where there are few enough people to try all flips, and by random flips
    otherwise.

    Args:
      ours: finite, one per case.
      theirs: of the same cases.
      seed: of the resampling.
      people: as in `summarise`.

    Raises:
      ValueError: different numbers of cases, none, or a value that is not finite.
    """
    ours, theirs = _checked(ours), _checked(theirs)
    if ours.shape != theirs.shape:
        raise ValueError(f"{len(ours)} and {len(theirs)} cases are not pairs")
    differences = ours - theirs
    sums, counts = _by_person(differences, people)
    if len(sums) > 1:
        p_value = scipy.stats.permutation_test(
            (sums,),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=_RESAMPLES,
            rng=np.random.default_rng(seed),
        ).pvalue
    else:
        p_value = 1.0
    return Comparison(
        difference=float(differences.mean()),
        interval=_interval(sums, counts, seed),
        p_value=float(p_value),
        n=len(differences),
    )


def _checked(values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("figures must be one or more finite numbers")
    return values


def _by_person(values, people):
    """Sum of each person's figures, and their number."""
    if people is None:
        return values, np.ones(len(values))
    _, person = np.unique(np.asarray(people), return_inverse=True)
    return np.bincount(person, values), np.bincount(person).astype(float)


def _interval(sums, counts, seed):
    if len(sums) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES // _BLOCK):
        drawn = rng.integers(0, len(sums), (_BLOCK, len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
