"""One figure of runs against the same figure of a reference: how far apart, and how far apart they may be.

Figures are compared as logarithms, so that a difference is a share. What a difference may be has two parts: the noise
of single losses within runs, which is measured, and what differs between runs of one recipe, which one run can't show:
it is assumed (`seed_spread.py`) and pooled with what several runs show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gbench.convergence.seed_spread import DEGREES_OF_FREEDOM
from gbench.measure.paired_ratio import t_quantile

LEAST = 5e-4  # half the last digit of a printed loss: a mean of zero has no logarithm


@dataclass(frozen=True)
class LogFigure:
    """A logarithm of one run's mean (or a difference of such), and its standard error from the noise within the run.

    count: of single losses that the error comes from.
    """

    value: float
    standard_error: float
    count: float


@dataclass(frozen=True)
class Deviation:
    """share: how far the runs lie above (below, where negative) the reference, as a share of it.

    low, high: what that share may be. z: the difference in its standard errors.
    """

    name: str
    share: float
    low: float
    high: float
    z: float

    @property
    def inside(self) -> bool:
        """Whether the runs agree with the reference here."""
        return self.low <= self.share <= self.high


def log_mean(means: Sequence[float], errors: Sequence[float], counts: Sequence[float]) -> LogFigure:
    """The logarithm of the mean of window means with these standard errors, from so many losses each."""
    mean = max(float(np.mean(means)), LEAST)
    return LogFigure(math.log(mean), math.sqrt(float(np.sum(np.square(errors)))) / len(means) / mean, sum(counts))


def minus(one: LogFigure, other: LogFigure) -> LogFigure:
    """The difference of two figures of one run from different epochs."""
    return LogFigure(
        one.value - other.value, math.hypot(one.standard_error, other.standard_error), min(one.count, other.count)
    )


def compare(
    name: str, runs: Sequence[LogFigure], references: Sequence[LogFigure], between: float, error: float
) -> Deviation:
    """The mean of `runs` against the mean of `references`.

    Args:
        between: standard deviation of the figure between runs that is assumed.
        error: share of true reproductions that may be called different.
    """
    difference = float(np.mean([run.value for run in runs]) - np.mean([one.value for one in references]))
    tolerance, standard_error = allowed(runs, references, between, error)
    return Deviation(
        name,
        math.expm1(difference),
        math.expm1(-tolerance),
        math.expm1(tolerance),
        difference / standard_error,
    )


def allowed(
    runs: Sequence[LogFigure], references: Sequence[LogFigure], between: float, error: float
) -> tuple[float, float]:
    """How far apart the two means may be, and the standard error of their difference."""
    squares, degrees = between**2 * DEGREES_OF_FREEDOM, DEGREES_OF_FREEDOM
    within = uncertain = 0.0
    for group in (runs, references):
        values = np.array([one.value for one in group])
        squares += float(np.sum((values - values.mean()) ** 2))
        degrees += len(group) - 1
        for one in group:
            part = (one.standard_error / len(group)) ** 2
            within += part
            uncertain += part**2 / max(one.count - 1, 1)
    across = squares / degrees * (1 / len(runs) + 1 / len(references))
    total = within + across
    freedom = total**2 / (across**2 / degrees + uncertain)  # Satterthwaite (1946)
    standard_error = math.sqrt(total)
    return t_quantile(1 - error / 2, min(max(freedom, 1.0), 1e4)) * standard_error, standard_error
