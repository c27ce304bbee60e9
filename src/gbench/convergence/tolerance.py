"""The deviation of runs from a reference in one figure, and its tolerance.

Figures are compared as logarithms, so that a difference is a share. The tolerance has two sources: the noise of losses
within runs, which is measured, and the variance between runs of one recipe, which a single run does not show. The
latter is assumed (`seed_spread.py`), and pooled with what several runs show. Seeds may vary more than assumed: if
enough runs show that, their own spread alone is taken.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gbench.convergence.curves import EpochWindow
from gbench.convergence.seed_spread import DEGREES_OF_FREEDOM
from gbench.measure.paired_ratio import t_quantile

MEASURED = 4  # degrees of freedom from which the spread between runs counts as measured, and is taken if larger
CLEAR = 2.1  # times the assumed spread between runs: seeds of small trainings varied by up to so much
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
class RunGroup:
    """The mean of a figure over runs of one recipe, and what they show of its variance."""

    mean: float
    squares: float
    """Sum of squared deviations of the runs from their mean."""
    degrees: int
    share: float
    """Variance of the mean, as a share of that between runs."""
    within: float
    """Variance of the mean from the noise within runs."""
    uncertain: float
    """Variance of `within`, halved."""

    @classmethod
    def of(cls, figures: Sequence[LogFigure]) -> "RunGroup":
        values = np.array([one.value for one in figures])
        parts = [((one.standard_error / len(figures)) ** 2, max(one.count - 1, 1)) for one in figures]
        return cls(
            mean=float(values.mean()),
            squares=float(np.sum((values - values.mean()) ** 2)),
            degrees=len(figures) - 1,
            share=1 / len(figures),
            within=sum(part for part, _ in parts),
            uncertain=sum(part**2 / count for part, count in parts),
        )

    def mixed(self, other: "RunGroup", weight: float) -> "RunGroup":
        """The group between two, by the weight of the other."""
        own = 1 - weight
        return RunGroup(
            mean=own * self.mean + weight * other.mean,
            squares=self.squares + other.squares,
            degrees=self.degrees + other.degrees,
            share=own**2 * self.share + weight**2 * other.share,
            within=own**2 * self.within + weight**2 * other.within,
            uncertain=own**4 * self.uncertain + weight**4 * other.uncertain,
        )


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
    clear: bool
    """Whether it would be outside its tolerance if seeds varied CLEAR times as much as assumed."""

    @property
    def inside(self) -> bool:
        return self.low <= self.share <= self.high


def log_mean(windows: Sequence[EpochWindow]) -> LogFigure:
    mean = max(float(np.mean([window.mean for window in windows])), LEAST)
    error = math.sqrt(float(np.sum(np.square([window.standard_error for window in windows])))) / len(windows)
    return LogFigure(math.log(mean), error / mean, sum(window.count for window in windows))


def exact(value: float) -> LogFigure:
    """A figure without noise, such as a mean over test images."""
    return log_mean([EpochWindow(value, 0.0, 0.0, 1)])


def minus(one: LogFigure, other: LogFigure) -> LogFigure:
    """The difference of two figures of one run, over different epochs."""
    return LogFigure(
        one.value - other.value, math.hypot(one.standard_error, other.standard_error), min(one.count, other.count)
    )


def compare(name: str, runs: RunGroup, reference: RunGroup, between: float, error: float) -> Deviation:
    """Compare two means. between: standard deviation to assume between runs. error: false rejection rate."""
    difference = runs.mean - reference.mean
    tolerance, standard_error = allowed(runs, reference, between, error)
    clear = abs(difference) > allowed(runs, reference, CLEAR * between, error)[0]
    share, low, high = map(math.expm1, (difference, -tolerance, tolerance))
    return Deviation(name, share, low, high, difference / standard_error, clear)


def allowed(runs: RunGroup, reference: RunGroup, between: float, error: float) -> tuple[float, float]:
    """The tolerance of the difference of the two means, and its standard error."""
    squares, shown = runs.squares + reference.squares, runs.degrees + reference.degrees
    variance, degrees = squares / max(shown, 1), float(shown)
    if not runs.degrees or shown < MEASURED or variance < between**2:  # a single run has to miss by far in any case
        degrees += DEGREES_OF_FREEDOM
        variance = (squares + between**2 * DEGREES_OF_FREEDOM) / degrees
    across = variance * (runs.share + reference.share)
    total = across + runs.within + reference.within
    freedom = total**2 / (across**2 / degrees + runs.uncertain + reference.uncertain)  # Satterthwaite (1946)
    standard_error = math.sqrt(total)
    return t_quantile(1 - error / 2, min(max(freedom, 1.0), 1e4)) * standard_error, standard_error
