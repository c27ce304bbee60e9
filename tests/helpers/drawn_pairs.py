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
    """How the steps of a run vary, around 1 second.

    sd: standard deviation. phi: their first autocorrelation. drift: share by which they slow down from the first to the
    last. paused: one in 50 takes twice as long.
    """

    sd: float = 0.02
    phi: float = 0.6
    drift: float = 0.0
    paused: bool = False


class Side(NamedTuple):
    """Runs. mean_s, variance_s2: of the steps of each. error_share: of its throughput, as a record of it says."""

    mean_s: Floats
    variance_s2: Floats
    error_share: Floats

    def readings(self, loss: float = 0.0) -> list[RunFigure]:
        """Throughput of each run, made lower by a share of 1."""
        rates = (1 - loss) * IMAGES / self.mean_s
        return [RunFigure(float(rate), float(error)) for rate, error in zip(rates, self.error_share, strict=True)]


@dataclass(frozen=True)
class Machine:
    """How a machine's runs vary: shares of 1, standard deviations where not said otherwise.

    run_sd: from run to run. day_sd: from one side's day to the other's, the same for all its runs. disturbed: share of
    runs that something makes 5 % slower.
    """

    run_sd: float
    day_sd: float = 0.0
    disturbed: float = 0.0
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
