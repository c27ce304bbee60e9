"""The compared figures, and how to read them from a record."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from gbench.base.size import GIB
from gbench.cndb.record import Record
from gbench.cndb.throughput import AS_LAUNCH_SH as IN_WORDS
from gbench.cndb.throughput import LAUNCH_SH, kind_of, rule_of

NORMAL_95 = 1.959964  # half-width of a 95 % interval in standard errors


@dataclass(frozen=True)
class RunFigure:
    value: float
    error_share: float = 0.0
    """Standard error from the run's own steps, as a share of 1; 0 if unknown."""


@dataclass(frozen=True)
class ComparedMetric:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    unknown_sd: float
    """Standard deviation between runs to assume if none was measured, as a share of 1."""
    read: Callable[[Record], RunFigure | None]
    """Reads it from a record; None if absent."""
    of_speed: bool = True
    """Whether a run that is not steady changes it."""

    def margin(self, share: float) -> float:
        """The decrease of `Change.log` if the figure gets worse by `share` of 1."""
        return -math.log(1 - share) if self.higher_is_better else math.log(1 + share)

    def in_unit_of(self, records: Iterable[Record]) -> "ComparedMetric":
        """This metric in the unit that all the records have; unchanged if they have several."""
        units = {self.unit_in(record) for record in records}
        return replace(self, unit=units.pop()) if len(units) == 1 else self

    def unit_in(self, record: Record) -> str:
        """The figure's unit; for throughput the record's own."""
        unit = at(record.perf_data, "throughput_unit") if self.name == "throughput" else None
        return unit if isinstance(unit, str) else self.unit


def _figure(value: Any) -> RunFigure | None:
    """A finite number above 0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return RunFigure(float(value))


def at(values: Any, *path: str) -> Any:
    """The value at a path of keys; None if a key is missing."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _throughput(record: Record) -> RunFigure | None:
    return _with_interval(record.perf_data, "throughput")


def _by_first_rule(record: Record) -> RunFigure | None:
    """The throughput by the rule that every record of a measured run has."""
    first = at(record.extra, "first_reading")
    return _throughput(record) if rule_of(record) == 1 else _with_interval(first, "throughput_img_s")


def _with_interval(values: Any, key: str) -> RunFigure | None:
    figure = _figure(at(values, key))
    low, high = (_figure(at(values, "throughput_interval", end)) for end in ("low", "high"))
    if figure is None or low is None or high is None or high.value < low.value:
        return figure
    # Student's t widens the interval of a short run, so its error is slightly overestimated, never underestimated.
    return RunFigure(figure.value, math.log(high.value / low.value) / 2 / NORMAL_95)


def _as_launch_sh(record: Record) -> RunFigure | None:
    own = kind_of(record) == LAUNCH_SH
    return _figure(at(record.perf_data, "throughput" if own else "throughput_legacy_img_s"))


def _at_path(*path: str) -> Callable[[Record], RunFigure | None]:
    return lambda record: _figure(at(record.perf_data, *path))


def _memory(record: Record) -> RunFigure | None:
    ranks = at(record.perf_data, "memory")
    for key in ("allocated_bytes", "host_rss_bytes"):
        peaks = [_figure(at(rank, key)) for rank in ranks] if isinstance(ranks, list) else []
        known = [peak.value / GIB for peak in peaks if peak is not None]
        if known:
            return RunFigure(max(known))
    return None


def _loss_l1(record: Record) -> RunFigure | None:
    """The reconstruction loss of a convergence run. The adversarial losses balance each other: lower is not better."""
    if at(record.extra, "recipe") != "convergence":
        return None
    return _figure(at(record.metric_data, "G_L1"))


THROUGHPUT = ComparedMetric("throughput", "throughput", "img/s", True, 0.03, _throughput)
# For records of which some have no other: steps 3 to 7, data excluded
AS_LAUNCH_SH = replace(THROUGHPUT, title="throughput as launch.sh", read=_as_launch_sh)
# For records of which some were made before whole epochs were counted
BY_FIRST_RULE = replace(THROUGHPUT, read=_by_first_rule)
METRICS = (
    THROUGHPUT,
    ComparedMetric("latency-p95", "p95 step time", "s", False, 0.05, _at_path("step", "p95_s")),
    ComparedMetric("memory", "peak memory", "GiB", False, 0.03, _memory, of_speed=False),
    ComparedMetric("energy", "energy an image", "J", False, 0.05, _at_path("joules_per_image")),
    ComparedMetric("loss-l1", "loss G_L1", "", False, 0.05, _loss_l1, of_speed=False),
)


def common_throughput(records: Collection[Record]) -> tuple[ComparedMetric, str]:
    """The throughput that all records have, and in words why it is not the headline of each; empty: it is.

    AS_LAUNCH_SH if some have no other, and all have that; BY_FIRST_RULE if they were made by different rules.
    """
    kinds, rules = {kind_of(one) for one in records}, {rule_of(one) for one in records}
    if len(kinds) > 1 and LAUNCH_SH in kinds and all(map(_as_launch_sh, records)):
        return AS_LAUNCH_SH, f"{IN_WORDS}: some runs have no other"
    if 1 in rules and len(rules) > 1 and len(kinds) == 1 and all(map(_by_first_rule, records)):
        return BY_FIRST_RULE, "by the first rule of the statistics: some records have no other"
    return THROUGHPUT, ""


def metric_named(name: str) -> ComparedMetric:
    return next(metric for metric in METRICS if metric.name == name)
