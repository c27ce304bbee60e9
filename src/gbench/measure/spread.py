"""Spread of step times within a run, and of repeated runs; explained in docs/statistics.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbench.measure.paired_ratio import mean_interval
from gbench.runfolder.run_result import TAIL, StepTimes


@dataclass(frozen=True)
class RunMean:
    """One of several repeated runs, in any one unit (seconds per step, images per second)."""

    mean: float
    variance: float
    """Sample variance of its steps."""
    count: float
    """Number of independent steps. As the steps of a run are autocorrelated, pass `Interval.effective_steps`: with the
    plain number of steps, noise within a run would count as a difference between runs."""


@dataclass(frozen=True)
class Repeats:
    """Repeated runs of one spec: the mean of their means, and the parts of their variance."""

    runs: int
    mean: float
    within_variance: float
    """Between the steps of a run."""
    between_variance: float | None
    """Between the runs' true means; 0 if the steps explain all differences; None for one run."""
    low: float | None
    """Lower end of the confidence interval of the mean over all runs of this spec; None for one run."""
    high: float | None
    """Its upper end."""


def spread(step_s: ArrayLike, tail: int = TAIL) -> StepTimes:
    """Mean, median, standard deviation and percentiles of step times (1-d, seconds, at least one).

    Percentiles interpolate linearly between order statistics (Hyndman and Fan 1996, type 7; numpy's default). Sums are
    exact, so that every machine recomputes the same figures to the last digit.

    tail: fewest steps that have a 99th percentile.
    """
    times = np.asarray(step_s, dtype=float)
    p5, p50, p95, p99 = (float(value) for value in np.percentile(times, [5, 50, 95, 99]))
    mean = math.fsum(times) / len(times)
    return StepTimes(
        mean_s=mean,
        median_s=p50,
        std_s=math.sqrt(math.fsum((times - mean) ** 2) / (len(times) - 1)) if len(times) > 1 else 0.0,
        p5_s=p5,
        p95_s=p95,
        p99_s=p99 if len(times) >= tail else None,
    )


def total(values: NDArray[np.float64]) -> float:
    """The sum from first to last, as every version has added it: numpy's own order gives other last digits."""
    return float(sum(values.tolist()))


def variance(values: NDArray[np.float64]) -> float:
    """Sample variance of at least two finite numbers, exact but for one rounding, as `statistics.variance`.

    A float is a whole number of 53 bits times a power of two. Each is divided into three digits of 18 bits, whose
    products 64 bits can add up exactly.
    """
    fractions, exponents = np.frexp(values)
    numbers = (fractions * 2.0**53).astype(np.int64)
    lowest = int(exponents.min())
    added = squared = 0
    for exponent in np.unique(exponents).tolist():
        part = numbers[exponents == exponent]
        digits = np.stack([part >> 36, part >> 18 & 0x3FFFF, part & 0x3FFFF])
        sums, products = digits.sum(axis=1).tolist(), (digits @ digits.T).tolist()
        shift = exponent - lowest
        weights = [36, 18, 0]
        added += sum(one << place for one, place in zip(sums, weights, strict=True)) << shift
        squared += sum(products[i][j] << weights[i] + weights[j] for i in range(3) for j in range(3)) << 2 * shift
    count = len(values)
    unit = Fraction(2) ** (lowest - 53)
    return float((count * squared - added**2) * unit**2 / (count * (count - 1)))


def repeats_variance(runs: Sequence[RunMean]) -> Repeats:
    """Within-run and between-run variance of at least one run, and the interval of the mean over runs.

    One-way random-effects analysis of variance for unequal counts, solved by the method of moments and cut off at zero
    (Searle, Casella, McCulloch, Variance Components, 1992, chapter 3). The interval is Student's t on the runs'
    means, unweighted: it assumes that runs are independent, and nothing about the steps within them.
    """
    means, variances, counts = np.array([(run.mean, run.variance, run.count) for run in runs], dtype=float).T
    inside = np.maximum(counts - 1, 0)
    within = float(inside @ variances / inside.sum()) if inside.sum() > 0 else 0.0
    free = len(runs) - 1
    if free == 0:
        return Repeats(1, float(means[0]), within, None, None, None)
    total = counts.sum()
    between_squares = float(counts @ (means - counts @ means / total) ** 2) / free
    typical_count = (total - counts @ counts / total) / free
    mean, half_width = mean_interval(means.tolist(), 0.95)
    return Repeats(
        runs=len(runs),
        mean=mean,
        within_variance=within,
        between_variance=max(0.0, (between_squares - within) / float(typical_count)),
        low=mean - half_width,
        high=mean + half_width,
    )
