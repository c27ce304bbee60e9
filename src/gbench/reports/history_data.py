"""The data of the history page, read through gbench's views (docs/dashboards.md).

The views know no machine, so runs are grouped here, and judged by the rule of `gbench_regressions` within a group.
A few columns are read of every result. What a result ran on is read only for the newest of a group and at changes of
level.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, inspect, text

from gbench.base.utc import time_of
from gbench.cndb.database import connect, database_errors
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.throughput import AS_LAUNCH_SH, FIRST_RULE, LAUNCH_SH, throughput_of
from gbench.errors import InfrastructureError, RecordError
from gbench.measure.trend import Level, levels
from gbench.settings.model_file import record_names

STALE_DAYS = 30.0
SHOWN = text(
    "SELECT id, model, dataset, device, dev_num, batch_size, precision, dist_mode, recipe, run_id, throughput_unit, "
    "steady_state, driver, software, hardware, code_link, first_rule FROM gbench_runs WHERE id IN :ids"
).bindparams(bindparam("ids", expanding=True))
FETCHED = 1000  # rows, or ids asked for, at a time
RECENT_DAYS, BEFORE, FEW = 30.0, 10, 3  # as in the view gbench_regressions
UNKNOWN = datetime.fromtimestamp(0, timezone.utc)  # of a time that SQLite holds and that is none
ASSUMED = 0.05  # half-width of the interval of a result without one

Group = tuple[Any, str]
"""Of comparable results: their configuration, and their machine in words, empty if all are of one."""


class Runs(NamedTuple):
    """Columns of the view: every result with a throughput, oldest first."""

    id: list[int]
    run_time: list[Any]
    throughput: list[float]
    low: list[float | None]
    high: list[float | None]
    configuration: list[Any]
    machine: list[str | None]
    host_name: list[str | None]

    def moment(self, place: int) -> datetime:
        """When the run started; SQLite has no type for times."""
        given = self.run_time[place]
        when: datetime = given if isinstance(given, datetime) else time_of(given) or UNKNOWN
        return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Result:
    id: int
    when: datetime
    age_days: float
    throughput: float
    low: float | None
    """Lower end of its 95 % interval; None, as `high`, for a record without one."""
    high: float | None


class Results:
    """Some of the runs, oldest first. Each is made when it is asked for: a page shows few of them."""

    def __init__(self, runs: Runs, places: Sequence[int], now: datetime) -> None:
        self._runs, self._places, self._now = runs, places, now

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Result]:
        return map(self._result, self._places)

    def __getitem__(self, place: int) -> Result:
        return self._result(self._places[place])

    @cached_property
    def throughputs(self) -> NDArray[np.float64]:
        return np.array([self._runs.throughput[place] for place in self._places], dtype=np.float64)

    def before(self, place: int, most: int) -> tuple[list[float], list[float | None]]:
        """Throughputs, and lower ends of intervals, of at most so many results before one."""
        places = self._places[max(place - most, 0) : place]
        return [self._runs.throughput[one] for one in places], [self._runs.low[one] for one in places]

    def _result(self, place: int) -> Result:
        runs, when = self._runs, self._runs.moment(place)
        age_days = (self._now - when).total_seconds() / 86400
        return Result(runs.id[place], when, age_days, runs.throughput[place], runs.low[place], runs.high[place])


@dataclass(frozen=True)
class LevelChange:
    at: Result
    """The first run after the change."""
    before: float
    after: float
    differs: list[str]
    """Differences of the first run after the change from the last one before it, in words."""

    @property
    def share(self) -> float:
        """Relative change; 0.05: 5 % faster."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class Configuration:
    """Comparable results and their levels."""

    name: str
    details: str
    key: str
    """Distinguishes configurations with the same name."""
    unit: str
    results: Results
    """Oldest first, of one machine unless all are taken together."""
    levels: list[Level]
    """Oldest first."""
    changes: list[LevelChange]
    """Where the level changed, oldest first; without a last run that is not confirmed."""
    steady: bool | None
    """Of the latest result, as `of_first_rule`."""
    of_first_rule: bool
    """Whether its figure is by the first rule of the statistics."""

    @cached_property
    def latest(self) -> Result:
        return self.results[-1]

    @property
    def stale(self) -> bool:
        return self.latest.age_days > STALE_DAYS


@dataclass(frozen=True)
class Regression:
    """A result of the last 30 days that is slower than the ones before."""

    configuration: Configuration
    result: Result
    previous_mean: float
    previous_results: int
    loss_share: float


@dataclass(frozen=True)
class HistoryData:
    database: str
    filters: str
    made: datetime
    configurations: list[Configuration]
    """The most recently measured first."""
    regressions: list[Regression]
    """Worst first."""

    @property
    def results(self) -> int:
        return sum(len(one.results) for one in self.configurations)


def read_history(
    config: DatabaseConfig, model: str | None, since: datetime | None, all_machines: bool = False
) -> HistoryData:
    """Results with a throughput, by configuration and machine.

    Args:
        model: its name in the record, or at launch.
        since: only runs that started at this time or later; regressions are still determined from all runs.
        all_machines: take the results of all machines together.

    Raises:
        InfrastructureError: the database does not exist, failed, or lacks gbench's views.
        RecordError: it has no such result.
    """
    now = datetime.now(timezone.utc)
    with database_errors(config):
        engine = connect(config)
        if "gbench_runs" not in inspect(engine).get_view_names():
            raise InfrastructureError(
                f"database {config.shown} lacks gbench's views", "gbench cndb submit RECORD creates them"
            )
        with engine.connect().execution_options(gbench_one_state=True) as connection:
            runs = _runs(connection, model)
            groups = _by_machine(runs, all_machines)
            kept = {
                group: Results(runs, [place for place in places if since is None or runs.moment(place) >= since], now)
                for group, places in groups.items()
            }
            shown = {group: (results, levels(results.throughputs)) for group, results in kept.items() if results}
            details = _details(connection, shown.values())
    since_text = f"since {since.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if since else ""
    filters = ", ".join(filter(None, (f"model {model}" if model else "", since_text)))
    if not shown:
        more = "leave out --model or --since" if filters else "gbench cndb submit RECORD stores one"
        only = f" ({filters})" if filters else ""
        raise RecordError(f"database {config.shown} holds no result with a throughput{only}", more)
    configurations = _named([_configuration(group, *shown[group], details) for group in shown])
    regressions = [
        Regression(one, result, mean, count, 1 - result.throughput / mean)
        for one, group in zip(configurations, shown, strict=True)
        for result, mean, count in slower_results(Results(runs, groups[group], now))
        if since is None or result.when >= since
    ]
    regressions.sort(key=lambda one: -one.loss_share)
    configurations.sort(key=lambda one: (-one.latest.when.timestamp(), one.name, one.key))
    return HistoryData(config.shown, filters, now, configurations, regressions)


def slower_results(results: Results) -> list[tuple[Result, float, int]]:
    """The results that the rule of `gbench_regressions` reports, with the mean and the number of those before."""
    found = []
    for place in range(len(results) - 1, 0, -1):
        one = results[place]
        if one.age_days > RECENT_DAYS:
            break
        before, ends = results.before(place, BEFORE)
        mean = fmean(before)
        lows = [(1 - ASSUMED) * other if low is None else low for other, low in zip(before, ends, strict=True)]
        high = (1 + ASSUMED) * one.throughput if one.high is None else one.high
        if high < min(lows) and one.throughput <= (0.95 if len(before) < FEW else 0.98) * mean:
            found.append((one, mean, len(before)))
    return found


def _runs(connection: Connection, model: str | None) -> Runs:
    names = {f"name{n}": name for n, name in enumerate(sorted(record_names(model)))} if model is not None else {}
    where = f"AND model IN ({', '.join(f':{name}' for name in names)})" if names else ""
    # SQLite's columns may hold any value: what is no number is 0 there
    numbers = {name: f"CAST({name} AS DOUBLE PRECISION)" for name in ("throughput", "low", "high")}
    wanted = ", ".join(f"{numbers.get(name, name)} AS {name}" for name in Runs._fields)
    above = f"{numbers['throughput']} > 0"
    query = f"SELECT {wanted} FROM gbench_runs WHERE {above} AND run_time IS NOT NULL {where}"
    columns: list[list[Any]] = [[] for _ in Runs._fields]
    for rows in connection.execute(text(f"{query} ORDER BY run_time, id"), names).partitions(FETCHED):
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    return Runs(*columns)


def _by_machine(runs: Runs, all_machines: bool) -> dict[Group, list[int]]:
    """Places of the runs of a configuration and machine. One that says no machine is of the only, or an unknown one."""
    together = defaultdict[Any, list[int]](list)
    for place, configuration in enumerate(runs.configuration):
        together[configuration].append(place)
    groups = defaultdict[Group, list[int]](list)
    hosts = dict(zip(runs.machine, runs.host_name, strict=True))
    for configuration, members in together.items():
        if all_machines or len({runs.machine[place] for place in members} - {None}) < 2:
            groups[configuration, ""] = members
            continue
        for place in members:
            machine = runs.machine[place]
            words = f"{hosts[machine]} ({machine[:8]})" if machine else "a machine not said"
            groups[configuration, words].append(place)
    return groups


def _details(connection: Connection, shown: Iterable[tuple[Results, list[Level]]]) -> dict[int, Any]:
    """Rows by id: of the newest results, and of the last one before and the first one after each change of level."""
    ids = [
        results[place].id
        for results, found in shown
        for place in (-1, *(place for level in found if level.start for place in (level.start - 1, level.start)))
    ]
    parts = (ids[start : start + FETCHED] for start in range(0, len(ids), FETCHED))
    return {row.id: row for part in parts for row in connection.execute(SHOWN, {"ids": part})}


def _configuration(group: Group, results: Results, found: list[Level], details: Mapping[int, Any]) -> Configuration:
    one, (configuration, machine) = details[results[-1].id], group
    batch = f"batch {one.batch_size}" if one.batch_size else ""
    as_launch_sh = throughput_of(None, one.model, one.run_id) == LAUNCH_SH
    kind = AS_LAUNCH_SH if as_launch_sh else ""
    named = (batch, one.dataset, one.dist_mode, one.recipe, kind, machine)
    compared = (configuration, one.model, one.device, one.precision, machine)
    return Configuration(
        name=", ".join(
            (one.model or "unknown model", one.precision or "no precision", f"{one.dev_num} × {one.device}")
        ),
        details=", ".join(str(detail) for detail in named if detail),
        key=hashlib.sha256(repr(compared).encode()).hexdigest()[:6],
        unit=one.throughput_unit or "",
        results=results,
        levels=found,
        changes=list(_changes(results, found, details)),
        steady=None if one.steady_state is None else bool(one.steady_state),
        of_first_rule=bool(one.first_rule),
    )


def _changes(results: Results, found: list[Level], details: Mapping[int, Any]) -> Iterator[LevelChange]:
    """The changes of level but the one to a last run that is not confirmed."""
    for before, after in pairwise(level for level in found if level.confirmed):
        first = results[after.start]
        old, new = (_ran_on(details[one.id]) for one in (results[after.start - 1], first))
        differs = [f"{word} {old[word]} → {new[word]}" for word in old if old[word] != new[word]]
        yield LevelChange(first, before.median, after.median, differs)


def _ran_on(row: Any) -> dict[str, str]:
    """What may differ between the runs of a configuration."""
    rule = FIRST_RULE if row.first_rule else "now"
    found = {"driver": row.driver, "image": row.software, "machine": row.hardware, "model's code": row.code_link}
    return {**{word: value or "unknown" for word, value in found.items()}, "statistics": rule}


def _named(configurations: list[Configuration]) -> list[Configuration]:
    """Add the key to the details of configurations that differ only in their settings."""
    times = Counter((one.name, one.details) for one in configurations)
    return [
        replace(one, details=f"{one.details}, settings {one.key}" if times[one.name, one.details] > 1 else one.details)
        for one in configurations
    ]
