"""What the figures of many cases say: summaries with intervals, and paired comparison."""

import dataclasses

import numpy as np
import scipy.stats

_RESAMPLES = 10_000
_BLOCK = 100  # resamples drawn at once


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of the figures of n cases.

    Attributes:
      mean: over the cases.
      interval: 95 % confidence interval of the mean, by bootstrap over the cases; None for n = 1.
      median: over the cases.
      sd: standard deviation (n − 1 in the denominator); 0 for n = 1.
      n: cases that have a figure.
    """

    mean: float
    interval: tuple[float, float] | None
    median: float
    sd: float
    n: int


def summarise(values: np.ndarray, seed: int) -> Summary:
    """Summarises figures [n].

    Args:
      values: finite, one a case that is independent of the others (a person, not a frame).
      seed: of the resampling.

    Raises:
      ValueError: no value, or one that is not finite.
    """
    values = _checked(values)
    return Summary(
        mean=float(values.mean()),
        interval=_interval(values, seed),
        median=float(np.median(values)),
        sd=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        n=len(values),
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Of two methods on the same cases.

    Attributes:
      difference: mean of ours minus theirs.
      interval: 95 % confidence interval of it, by bootstrap over the cases; None for n = 1.
      p_value: two-sided, of a paired permutation (sign flip) test of the mean difference.
      n: cases that both have a figure for.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float
    n: int


def compare(ours: np.ndarray, theirs: np.ndarray, seed: int) -> Comparison:
    """Compares the figures [n] of two methods on the same n cases.

    The test is exact where n is small enough to try all 2^n flips, and by random flips otherwise.

    Raises:
      ValueError: different numbers of cases, none, or a value that is not finite.
    """
    ours, theirs = _checked(ours), _checked(theirs)
    if ours.shape != theirs.shape:
        raise ValueError(f"{len(ours)} and {len(theirs)} cases are not pairs")
    differences = ours - theirs
    if len(differences) > 1:
        p_value = scipy.stats.permutation_test(
            (differences,),
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
        interval=_interval(differences, seed),
        p_value=float(p_value),
        n=len(differences),
    )


def _checked(values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("figures must be one or more finite numbers")
    return values


def _interval(values, seed):
    if len(values) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(0, len(values), (_BLOCK, len(values)))].mean(axis=1)
        for _ in range(_RESAMPLES // _BLOCK)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
