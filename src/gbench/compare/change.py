"""How much a figure changed between two sets of runs, and how well that is known.

A run is one draw: its steps can't tell what differs between two starts (memory layout, chosen convolutions,
temperature, neighbours). So all is said in logarithms of the runs' figures, and their spread comes from runs:

- BASE and NEW are taken to be equally noisy and their variances pooled, with that of the configuration's history where
  they are few. A side that is noisier than the rest (F test, level NOISIER) keeps its own variance instead, and the
  degrees of freedom are Satterthwaite's (1946). The quieter side keeps the pool's: two runs that agree by luck must not
  pass for a quiet side.
- A run whose own steps were noisier than those the variance comes from adds what its interval says beyond them.
- Where no two runs of a kind are known, the spread between runs is assumed, and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import fdtri, stdtr, stdtrit

from gbench.compare.metrics import RunFigure

NOISIER = 0.1  # chance that a side of equal noise is taken for a noisier one
ENOUGH_RUNS = 6  # of both sides: as many need no history
MIN_HISTORY = 5  # runs; fewer say too little
RESOLUTION = 1e-4  # share below which no spread between runs is believed

Source = Literal["the runs", "history", "assumed"]


@dataclass(frozen=True)
class Change:
    """Logarithm of NEW over BASE, positive where it is better, and its standard error.

    base, new: geometric means. base_variance, new_variance: of the logarithm of one run's figure. dof: degrees of
    freedom of the standard error; infinite where it is assumed. source: where the variance between runs comes from.
    unknown_sd: what would be assumed of it.
    """

    base: float
    new: float
    base_runs: int
    new_runs: int
    log: float
    base_variance: float
    new_variance: float
    dof: float
    source: Source
    unknown_sd: float

    @property
    def error(self) -> float:
        """Standard error of `log`."""
        return math.sqrt(self.base_variance / self.base_runs + self.new_variance / self.new_runs)

    def chance_below(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or less": small where it is surely better than that."""
        return float(stdtr(self.dof, (log - self.log) / self.error))

    def chance_above(self, log: float) -> float:
        """One-sided p-value of "the true change is `log` or more"."""
        return float(stdtr(self.dof, (self.log - log) / self.error))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence interval of `log`."""
        half_width = float(stdtrit(self.dof, (1 + level) / 2)) * self.error
        return self.log - half_width, self.log + half_width


@dataclass(frozen=True)
class _Spread:
    """Variance of runs' logarithms. error_variance: the mean of what their own steps explain of it."""

    variance: float
    dof: float
    error_variance: float


def change(
    base: Sequence[RunFigure],
    new: Sequence[RunFigure],
    higher_is_better: bool,
    history: Sequence[RunFigure],
    unknown_sd: float,
) -> Change:
    """The change from BASE to NEW, of at least one run each.

    Args:
        history: earlier runs of the same configuration, in order of time, none of BASE or NEW among them; used where
            BASE and NEW together have fewer than ENOUGH_RUNS.
        unknown_sd: share of 1 that a figure is taken to vary by between runs where nothing measured says.
    """
    sides = [_spread_of(base), _spread_of(new)]
    source: Source = "the runs"
    earlier: list[_Spread] = []
    if len(base) + len(new) < ENOUGH_RUNS and len(history) >= MIN_HISTORY:
        source, earlier = "history", [_spread_in_time(history)]
    elif not any(side.dof for side in sides):
        source, earlier = "assumed", [_Spread(unknown_sd**2, math.inf, 0.0)]
    noisier = [_is_noisier(side, _pooled([other, *earlier])) for side, other in (sides, sides[::-1])]
    common = _pooled([*sides, *earlier])
    alike = [side if alone else common for side, alone in zip(sides, noisier, strict=True)]
    variances = [_one_run(side, like) for side, like in zip(sides, alike, strict=True)]
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


def _spread_of(runs: Sequence[RunFigure]) -> _Spread:
    """Of runs that differ by chance alone."""
    logs = [math.log(run.value) for run in runs]
    return _Spread(float(np.var(logs, ddof=1)) if len(logs) > 1 else 0.0, len(logs) - 1, _error_variance(runs))


def _spread_in_time(runs: Sequence[RunFigure]) -> _Spread:
    """Of runs over weeks in which drivers and code changed too: by successive differences, which steps hardly raise.

    Mean square successive difference, with its own degrees of freedom (von Neumann, Kent, Bellinson, Hart 1941).
    """
    count, logs = len(runs), [math.log(run.value) for run in runs]
    variance = float(np.mean(np.diff(logs) ** 2)) / 2
    return _Spread(variance, 2 * (count - 1) ** 2 / (3 * count - 4), _error_variance(runs))


def _error_variance(runs: Sequence[RunFigure]) -> float:
    return float(np.mean([run.error_share**2 for run in runs]))


def _pooled(spreads: Sequence[_Spread]) -> _Spread:
    """One variance for all, each counting with its degrees of freedom; without any, that of no run."""
    known = [spread for spread in spreads if spread.dof]
    if len(known) < 2:
        return known[0] if known else _Spread(0.0, 0.0, 0.0)
    dof = sum(spread.dof for spread in known)
    variance, error_variance = (
        sum(spread.dof * value for spread, value in zip(known, values, strict=True)) / dof
        for values in ([spread.variance for spread in known], [spread.error_variance for spread in known])
    )
    return _Spread(variance, dof, error_variance)


def _is_noisier(side: _Spread, rest: _Spread) -> bool:
    """Whether a side's runs spread more than chance would have them, were they as noisy as the rest."""
    if not side.dof or not rest.dof:
        return False
    return side.variance > max(rest.variance, RESOLUTION**2) * float(fdtri(side.dof, rest.dof, 1 - NOISIER))


def _one_run(side: _Spread, spread: _Spread) -> float:
    """Variance of one run of a side, by the spread of runs that it is taken to be like."""
    more = max(0.0, side.error_variance - spread.error_variance)
    return max(spread.variance + more, side.error_variance, RESOLUTION**2)
