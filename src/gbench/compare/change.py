"""The change of a figure between two sets of runs, and its uncertainty.

A run is one sample: its steps don't show what differs between two starts (memory layout, chosen convolutions,
temperature, neighbours). So the spread is that between runs, of the logarithms of their figures:

- BASE and NEW are assumed to be equally noisy, and their variances are pooled; with few runs, the variance of the
  configuration's history is pooled as well. A side that is noisier than the rest (F test at level NOISIER) keeps its
  own variance, with Satterthwaite's degrees of freedom (1946). The quieter side keeps the pooled variance: two runs may
  agree by chance.
- If a run's own steps were noisier than those of the runs that the variance comes from, the difference is added.
- A spread of fewer than KNOWN_DOF degrees of freedom may be small by chance: a run then varies at least as its own
  interval says. With more, the runs themselves say how much they vary: the interval of a run whose steps return in
  cycles is too wide.
- Without a history, it is that of the runs of `gbench calibrate`, where they are known.
- Without two runs of the same kind, the spread between runs is assumed, and reported as assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import fdtri, stdtr, stdtrit

from gbench.compare.metrics import RunFigure

NOISIER = 0.1  # probability that an equally noisy side is classified as noisier
ENOUGH_RUNS = 6  # runs of both sides together from which no history is needed
MIN_HISTORY = 5  # fewer runs are not used
KNOWN_DOF = 4  # degrees of freedom from which the spread between runs needs no lower limit from their steps
RESOLUTION = 1e-4  # lower limit of the relative spread between runs

Source = Literal["the runs", "history", "calibration", "assumed"]


@dataclass(frozen=True)
class Change:
    base: float
    """Geometric mean over runs; likewise `new`."""
    new: float
    base_runs: int
    new_runs: int
    log: float
    """Logarithm of the ratio of NEW to BASE, with the sign for which positive is better."""
    base_variance: float
    """Of the logarithm of one run's figure; likewise `new_variance`."""
    new_variance: float
    dof: float
    """Degrees of freedom of the standard error; infinite if the variance is assumed."""
    source: Source
    unknown_sd: float
    """The standard deviation to assume if it is unknown, as a share of 1."""

    @property
    def error(self) -> float:
        """Standard error of `log`."""
        return math.sqrt(self.base_variance / self.base_runs + self.new_variance / self.new_runs)

    def chance_below(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or less"; small if the change is surely better than that."""
        return float(stdtr(self.dof, (log - self.log) / self.error))

    def chance_above(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or more"."""
        return float(stdtr(self.dof, (self.log - log) / self.error))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence interval of `log`."""
        half_width = float(stdtrit(self.dof, (1 + level) / 2)) * self.error
        return self.log - half_width, self.log + half_width


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
        history: earlier runs of the same configuration, oldest first, without those of BASE and NEW; used if BASE and
            NEW together have fewer than ENOUGH_RUNS.
        unknown_sd: standard deviation between runs to assume if none was measured, as a share of 1.
        calibrated: runs of `gbench calibrate` on the same machine, used as a history where there is none.
    """
    sides = [spread_of(base), spread_of(new)]
    source: Source = "the runs"
    earlier: list[RunSpread] = []
    few = len(base) + len(new) < ENOUGH_RUNS
    if few and len(history) >= MIN_HISTORY:
        source, earlier = "history", [spread_in_time(history)]
    elif few and calibrated:
        source, earlier = "calibration", [spread_of(calibrated)]
    elif not any(side.dof for side in sides):
        source, earlier = "assumed", [RunSpread(unknown_sd**2, math.inf, 0.0)]
    noisier = [_is_noisier(side, _pooled([other, *earlier])) for side, other in (sides, sides[::-1])]
    common = _pooled([*sides, *earlier])
    alike = [side if alone else common for side, alone in zip(sides, noisier, strict=True)]
    variances = [one_run(side, like) for side, like in zip(sides, alike, strict=True)]
    dof = common.dof
    if any(noisier):
        shares = [variance / len(runs) for variance, runs in zip(variances, (base, new), strict=True)]
        dof = sum(shares) ** 2 / sum(share**2 / like.dof for share, like in zip(shares, alike, strict=True))
    logs = [float(np.mean([math.log(run.value) for run in side])) for side in (base, new)]
    return Change(
        base=math.exp(logs[0]),
        new=math.exp(logs[1]),
        base_runs=len(base),
        new_runs=len(new),
        log=(logs[1] - logs[0]) * (1 if higher_is_better else -1),
        base_variance=variances[0],
        new_variance=variances[1],
        dof=dof,
        source=source,
        unknown_sd=unknown_sd,
    )


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


def _is_noisier(side: RunSpread, rest: RunSpread) -> bool:
    """Whether a side is significantly noisier than the rest."""
    if not side.dof or not rest.dof:
        return False
    return side.variance > max(rest.variance, RESOLUTION**2) * float(fdtri(side.dof, rest.dof, 1 - NOISIER))


def one_run(side: RunSpread, spread: RunSpread) -> float:
    """Variance of one run of a side, from the spread of the runs that it is assumed to resemble."""
    more = max(0.0, side.error_variance - spread.error_variance)
    least = side.error_variance if spread.dof < KNOWN_DOF else 0.0
    return max(spread.variance + more, least, RESOLUTION**2)
