"""The change of a figure between two sets of runs, and its uncertainty.

A run is one sample: its steps don't show what differs between two starts (memory layout, chosen convolutions,
temperature, neighbours). So the spread is that between runs, of the logarithms of their figures:

- BASE and NEW are assumed to be equally noisy, and their variances are pooled; with few runs, the variance of the
  configuration's history is pooled as well, or without one that of the runs of `gbench calibrate`. A side that is
  noisier than the rest (F test at level NOISIER) keeps its own variance, with Satterthwaite's degrees of freedom
  (1946). The quieter side keeps the pooled variance: two runs may agree by chance.
- If a run's own steps were noisier than those of the runs that the variance comes from, the difference is added.
- A spread of fewer than KNOWN_DOF degrees of freedom may be small by chance: a run then varies at least as its own
  interval says. With more, the runs themselves say how much they vary: the interval of a run whose steps return in
  cycles is too wide.
- Without a history, a spread is assumed, and reported as assumed. With one run a side nothing else is known.

More runs must not find less. So the spread of the history, or the assumed one, is not dropped at once where the runs
begin to show their own: both readings may decide, and share the level of the test (Bonferroni). What is known
elsewhere has 1 / (1 + d) of it, d being the runs' own degrees of freedom, up to ALONE_DOF.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import fdtri, stdtr, stdtrit

from gbench.compare.metrics import RunFigure

NOISIER = 0.005  # probability that an equally noisy side is classified as noisier
REFUTED = 0.1  # probability that runs as noisy as assumed are classified as noisier
ENOUGH_RUNS = 6  # runs of both sides together from which they have a reading without the history
ALONE_DOF = 8  # degrees of freedom of the runs from which theirs is the only one
MIN_HISTORY = 5  # fewer runs are not used
KNOWN_DOF = 4  # degrees of freedom from which the spread between runs needs no lower limit from their steps
ENDLESS = 1e12  # degrees of freedom of what is assumed
RESOLUTION = 1e-4  # lower limit of the relative spread between runs

Source = Literal["the runs", "history", "calibration", "assumed"]


@dataclass(frozen=True)
class Reading:
    """How much runs vary, from one source."""

    base_variance: float
    """Of the logarithm of one run's figure; likewise `new_variance`."""
    new_variance: float
    dof: float
    """Degrees of freedom of the standard error; infinite if the variance is assumed."""
    source: Source


@dataclass(frozen=True)
class Change:
    base: float
    """Geometric mean over runs; likewise `new`."""
    new: float
    base_runs: int
    new_runs: int
    log: float
    """Logarithm of the ratio of NEW to BASE, with the sign for which positive is better."""
    unknown_sd: float
    """The standard deviation to assume if it is unknown, as a share of 1."""
    reading: Reading
    other: Reading | None = None
    """A second one, which may decide as well: with what is known elsewhere, where the runs say little."""
    other_share: float = 0.0
    """Of the level of a test that is the other one's."""

    @property
    def sources(self) -> set[Source]:
        return {self.reading.source, *([self.other.source] if self.other else [])}

    @property
    def readings(self) -> list[tuple[float, Reading]]:
        """With their shares of the level of a test."""
        own = (1 - self.other_share, self.reading)
        return [own, (self.other_share, self.other)] if self.other else [own]

    def error(self, reading: Reading) -> float:
        """Standard error of `log`."""
        return math.sqrt(reading.base_variance / self.base_runs + reading.new_variance / self.new_runs)

    def chance_below(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or less"; small if the change is surely better than that."""
        return self._chance(log - self.log)

    def chance_above(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or more"."""
        return self._chance(self.log - log)

    def reach(self, alpha: float) -> float:
        """How far the one-sided confidence bound at level 1 - alpha lies from `log`."""
        return min(float(stdtrit(one.dof, 1 - share * alpha)) * self.error(one) for share, one in self.readings)

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence interval of `log`."""
        half_width = self.reach((1 - level) / 2)
        return self.log - half_width, self.log + half_width

    def without_assumption(self) -> "Change":
        """Without a second reading that is assumed."""
        if self.other is None or self.other.source != "assumed":
            return self
        return replace(self, other=None, other_share=0.0)

    def _chance(self, distance: float) -> float:
        return min(1.0, *(float(stdtr(one.dof, distance / self.error(one))) / share for share, one in self.readings))


@dataclass(frozen=True)
class RunSpread:
    variance: float
    """Of the logarithms of the runs' figures."""
    dof: float
    error_variance: float
    """Mean of the part that the runs' own steps explain."""


def change(
    base: Sequence[RunFigure],
    new: Sequence[RunFigure],
    higher_is_better: bool,
    history: Sequence[RunFigure],
    unknown_sd: float,
    calibrated: Sequence[RunFigure] = (),
) -> Change:
    """The change from BASE to NEW, of at least one run each.

    Args:
        history: earlier runs of the same configuration, oldest first, without those of BASE and NEW.
        unknown_sd: standard deviation between runs to assume if none was measured, as a share of 1.
        calibrated: runs of `gbench calibrate` on the same machine, used as a history where there is none.
    """
    sides = [spread_of(base), spread_of(new)]
    counts = len(base), len(new)
    dof = sum(counts) - 2
    own = _reading(sides, counts, [], "the runs") if dof else None
    other = None
    if dof < ALONE_DOF:
        if len(history) >= MIN_HISTORY:
            other = _reading(sides, counts, [spread_in_time(history)], "history")
        elif calibrated:
            other = _reading(sides, counts, [spread_of(calibrated)], "calibration")
        else:
            other = _assumed(sides, unknown_sd)
    if own is None or (other is not None and other.source != "assumed" and sum(counts) < ENOUGH_RUNS):
        own, other = other, None
    assert own is not None
    logs = [float(np.mean([math.log(run.value) for run in side])) for side in (base, new)]
    return Change(
        base=math.exp(logs[0]),
        new=math.exp(logs[1]),
        base_runs=len(base),
        new_runs=len(new),
        log=(logs[1] - logs[0]) * (1 if higher_is_better else -1),
        unknown_sd=unknown_sd,
        reading=own,
        other=other,
        other_share=1 / (1 + dof) if other else 0.0,
    )


def _reading(
    sides: Sequence[RunSpread], counts: Sequence[int], earlier: Sequence[RunSpread], source: Source
) -> Reading:
    """From the spread of the sides and of earlier runs."""
    noisier = [_is_noisier(side, _pooled([other, *earlier]), NOISIER) for side, other in (sides, sides[::-1])]
    common = _pooled([*sides, *earlier])
    alike = [side if alone else common for side, alone in zip(sides, noisier, strict=True)]
    variances = [one_run(side, like) for side, like in zip(sides, alike, strict=True)]
    dof = common.dof
    if any(noisier):
        shares = [variance / count for variance, count in zip(variances, counts, strict=True)]
        dof = sum(shares) ** 2 / sum(share**2 / like.dof for share, like in zip(shares, alike, strict=True))
    return Reading(variances[0], variances[1], dof, source)


def _assumed(sides: Sequence[RunSpread], sd: float) -> Reading | None:
    """From the assumed spread; None if the runs show that they vary more."""
    known = RunSpread(sd**2, ENDLESS, 0.0)
    if _is_noisier(_pooled(sides), known, REFUTED):
        return None
    variances = [one_run(side, known) for side in sides]
    return Reading(variances[0], variances[1], math.inf, "assumed")


def spread_of(runs: Sequence[RunFigure]) -> RunSpread:
    """The spread of runs that differ only by chance."""
    logs = [math.log(run.value) for run in runs]
    return RunSpread(float(np.var(logs, ddof=1)) if len(logs) > 1 else 0.0, len(logs) - 1, _error_variance(runs))


def spread_in_time(runs: Sequence[RunFigure]) -> RunSpread:
    """The spread of runs over weeks, in which drivers and code changed as well.

    Mean square successive difference, on which a change of level has little effect, with its own degrees of freedom
    (von Neumann, Kent, Bellinson, Hart 1941).
    """
    count, logs = len(runs), [math.log(run.value) for run in runs]
    variance = float(np.mean(np.diff(logs) ** 2)) / 2
    return RunSpread(variance, 2 * (count - 1) ** 2 / (3 * count - 4), _error_variance(runs))


def _error_variance(runs: Sequence[RunFigure]) -> float:
    return float(np.mean([run.error_share**2 for run in runs]))


def _pooled(spreads: Sequence[RunSpread]) -> RunSpread:
    """The mean of the variances, weighted by degrees of freedom; zero without any."""
    known = [spread for spread in spreads if spread.dof]
    if len(known) < 2:
        return known[0] if known else RunSpread(0.0, 0.0, 0.0)
    dof = sum(spread.dof for spread in known)
    variance = sum(spread.dof * spread.variance for spread in known) / dof
    return RunSpread(variance, dof, sum(spread.dof * spread.error_variance for spread in known) / dof)


def _is_noisier(side: RunSpread, rest: RunSpread, level: float) -> bool:
    """Whether a side is significantly noisier than the rest."""
    if not side.dof or not rest.dof:
        return False
    return side.variance > max(rest.variance, RESOLUTION**2) * float(fdtri(side.dof, rest.dof, 1 - level))


def one_run(side: RunSpread, spread: RunSpread) -> float:
    """Variance of one run of a side, from the spread of the runs that it is assumed to resemble."""
    more = max(0.0, side.error_variance - spread.error_variance)
    least = side.error_variance if spread.dof < KNOWN_DOF else 0.0
    return max(spread.variance + more, least, RESOLUTION**2)
