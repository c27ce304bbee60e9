"""Runs of simulated machines with known truth, to evaluate verdicts here and in benchmarks/compare.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from gbench.cndb.record import Record
from gbench.compare.metrics import THROUGHPUT, RunFigure
from gbench.measure.bootstrap import throughput_interval
from simulated import Floats, lognormal, pauses

IMAGES = 8  # per step
STEPS = 300  # per run
DRAWN = 1000  # runs of each kind of steps, from which the runs of a side are drawn


@dataclass(frozen=True)
class Steps:
    """The distribution of a run's steps, about 1 second."""

    sd: float = 0.02
    """Standard deviation."""
    phi: float = 0.6
    """First autocorrelation."""
    drift: float = 0.0
    """Relative slowdown from the first to the last step."""
    paused: bool = False
    """Whether one step in 50 takes twice as long."""


class Side(NamedTuple):
    """The runs of one side."""

    mean_s: Floats
    """Of each run's steps."""
    variance_s2: Floats
    """Of each run's steps."""
    error_share: Floats
    """Relative standard error of each run's throughput, as in its record."""

    def readings(self, loss: float = 0.0) -> list[RunFigure]:
        """Throughput of each run, reduced by a share of 1."""
        rates = (1 - loss) * IMAGES / self.mean_s
        return [RunFigure(float(rate), float(error)) for rate, error in zip(rates, self.error_share, strict=True)]


@dataclass(frozen=True)
class Machine:
    """The variation of a machine's runs, in shares of 1."""

    run_sd: float
    """Standard deviation between runs."""
    day_sd: float = 0.0
    """Standard deviation between the days of the two sides; the same for all runs of a side."""
    disturbed: float = 0.0
    """Share of runs that a disturbance makes 5 % slower."""
    steps: Steps = Steps()

    def side(self, runs: int, rng: np.random.Generator) -> Side:
        """This number of runs of one side."""
        drawn = drawn_runs(self.steps)
        chosen = rng.integers(0, DRAWN, runs)
        slower = self.run_sd * rng.standard_normal(runs) + self.day_sd * rng.standard_normal()
        factor = np.exp(slower + math.log(1.05) * (rng.random(runs) < self.disturbed))
        return Side(drawn.mean_s[chosen] * factor, drawn.variance_s2[chosen] * factor**2, drawn.error_share[chosen])


@cache
def drawn_runs(steps: Steps) -> Side:
    """DRAWN runs that differ only in their steps."""
    draw = pauses if steps.paused else lognormal
    series = draw(DRAWN, STEPS, steps.phi, steps.sd, np.random.default_rng(0))
    series = series * (1 + steps.drift * np.linspace(-0.5, 0.5, STEPS))
    errors = [_said(step_s).error_share for step_s in series]
    return Side(series.mean(axis=1), series.var(axis=1, ddof=1), np.array(errors))


def _said(step_s: Floats) -> RunFigure:
    """A run's throughput, as in its record."""
    interval = throughput_interval(step_s, IMAGES)
    assert interval is not None
    throughput = {
        "throughput": IMAGES * len(step_s) / float(step_s.sum()),
        "throughput_interval": {"low": interval.low, "high": interval.high},
    }
    names = dict.fromkeys(("model", "framework", "dataset", "dev"), "drawn")
    reading = THROUGHPUT.read(Record.model_validate({**names, "dev_num": 1, "perf_data": throughput}))
    assert reading is not None
    return reading
