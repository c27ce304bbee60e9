"""The figures that are compared, and how a record says them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gbench.cndb.record import Record

NORMAL_95 = 1.959964  # half-width of a 95 % interval in standard errors


@dataclass(frozen=True)
class RunFigure:
    """A figure of one run. error_share: standard error that the run's own steps give it, of 1; 0 where unknown."""

    value: float
    error_share: float = 0.0


@dataclass(frozen=True)
class ComparedMetric:
    """One figure.

    unknown_sd: share of 1 that it is taken to vary by from run to run where nothing measured says.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    unknown_sd: float
    read: Callable[[Record], RunFigure | None]

    def margin(self, share: float) -> float:
        """How much lower the logarithm of the figure's goodness is when it is worse by `share` of 1."""
        return -math.log(1 - share) if self.higher_is_better else math.log(1 + share)

    def unit_in(self, record: Record) -> str:
        """The figure's unit; for throughput the one that a record itself says."""
        said = _at(record.perf_data, "throughput_unit") if self.name == "throughput" else None
        return said if isinstance(said, str) else self.unit


def _figure(value: Any) -> float | None:
    """A number that has a logarithm."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return float(value)


def _at(values: Any, *path: str) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _throughput(record: Record) -> RunFigure | None:
    value = _figure(_at(record.perf_data, "throughput"))
    ends = [_figure(_at(record.perf_data, "throughput_interval", end)) for end in ("low", "high")]
    if value is None:
        return None
    low, high = ends
    if low is None or high is None or high < low:
        return RunFigure(value)
    # Student's t has widened the interval of a short run: its error is taken a little too large, never too small.
    return RunFigure(value, math.log(high / low) / 2 / NORMAL_95)


def _latency_p95(record: Record) -> RunFigure | None:
    value = _figure(_at(record.perf_data, "step", "p95_s"))
    return None if value is None else RunFigure(value)


def _memory(record: Record) -> RunFigure | None:
    ranks = _at(record.perf_data, "memory")
    for key in ("allocated_bytes", "host_rss_bytes"):
        peaks = [_figure(_at(rank, key)) for rank in ranks] if isinstance(ranks, list) else []
        known = [peak / 2**30 for peak in peaks if peak is not None]
        if known:
            return RunFigure(max(known))
    return None


def _energy(record: Record) -> RunFigure | None:
    value = _figure(_at(record.perf_data, "joules_per_image"))
    return None if value is None else RunFigure(value)


def _loss_l1(record: Record) -> RunFigure | None:
    """The reconstruction loss of a convergence run. The adversarial losses balance each other: lower is not better."""
    if _at(record.extra, "recipe") != "convergence":
        return None
    value = _figure(_at(record.metric_data, "G_L1"))
    return None if value is None else RunFigure(value)


THROUGHPUT = ComparedMetric("throughput", "throughput", "img/s", True, 0.03, _throughput)
METRICS = (
    THROUGHPUT,
    ComparedMetric("latency-p95", "p95 step time", "s", False, 0.05, _latency_p95),
    ComparedMetric("memory", "peak memory", "GiB", False, 0.03, _memory),
    ComparedMetric("energy", "energy an image", "J", False, 0.05, _energy),
    ComparedMetric("loss-l1", "loss G_L1", "", False, 0.05, _loss_l1),
)


def metric_named(name: str) -> ComparedMetric:
    """The figure that --metric calls so; the command line knows no other names."""
    return next(metric for metric in METRICS if metric.name == name)
