"""The deviation of runs from a reference in one figure, and its tolerance.

Figures are compared as logarithms, so that a difference is a share. The tolerance has two sources: the noise of losses
within runs, which is measured, and the variance between runs of one recipe, which a single run does not show. The
latter is assumed (`seed_spread.py`), and pooled with that of several runs if there are any.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gbench.convergence.curves import EpochWindow
from gbench.convergence.seed_spread import DEGREES_OF_FREEDOM
from gbench.measure.paired_ratio import t_quantile

LEAST = 5e-4  # half the last digit of a printed loss, as the logarithm of a mean of 0 is undefined


@dataclass(frozen=True)
class LogFigure:
    """Logarithm of a mean of one run, or the difference of two."""

    value: float
    standard_error: float
    """From the noise within the run."""
    count: float
    """Number of losses that the standard error is computed from."""


@dataclass(frozen=True)
class Deviation:
    """The deviation of runs from a reference in one figure."""

    name: str
    share: float
    """Relative difference from the reference; negative: below it."""
    low: float
    """Lower tolerance of the share; `high`: the upper one."""
    high: float
    z: float
    """The difference divided by its standard error."""

    @property
    def inside(self) -> bool:
        return self.low <= self.share <= self.high


def log_mean(windows: Sequence[EpochWindow]) -> LogFigure:
    mean = max(float(np.mean([window.mean for window in windows])), LEAST)
    error = math.sqrt(float(np.sum(np.square([window.standard_error for window in windows])))) / len(windows)
    return LogFigure(math.log(mean), error / mean, sum(window.count for window in windows))


def minus(one: LogFigure, other: LogFigure) -> LogFigure:
    """The difference of two figures of one run, over different epochs."""
    return LogFigure(
        one.value - other.value, math.hypot(one.standard_error, other.standard_error), min(one.count, other.count)
    )


def compare(
    name: str, runs: Sequence[LogFigure], references: Sequence[LogFigure], between: float, error: float
) -> Deviation:
    """Compare two means. between: standard deviation to assume between runs. error: false rejection rate."""
    difference = float(np.mean([run.value for run in runs]) - np.mean([one.value for one in references]))
    tolerance, standard_error = allowed(runs, references, between, error)
    share, low, high = map(math.expm1, (difference, -tolerance, tolerance))
    return Deviation(name, share, low, high, difference / standard_error)


def allowed(
    runs: Sequence[LogFigure], references: Sequence[LogFigure], between: float, error: float
) -> tuple[float, float]:
    """The tolerance of the difference of the two means, and its standard error."""
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
