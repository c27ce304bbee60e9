"""The data of the history page, read through gbench's views (docs/dashboards.md).

The views know no machine, so runs are grouped here, and judged by the rule of `gbench_regressions` within a group.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, inspect, text

from gbench.cndb.database import connect, database_errors
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.throughput import AS_LAUNCH_SH, FIRST_RULE, LAUNCH_SH, throughput_of
from gbench.errors import InfrastructureError, RecordError
from gbench.measure.trend import Level, levels
from gbench.settings.model_file import record_names

STALE_DAYS = 30.0
COLUMNS = (
    "id, run_time, configuration, model, dataset, device, dev_num, batch_size, precision, dist_mode, recipe, run_id, "
    "throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, machine, host_name, "
    "first_rule"
)
COMPARABLE = attrgetter("configuration", "model", "device", "precision")
RECENT_DAYS, BEFORE, FEW = 30.0, 10, 3  # as in the view gbench_regressions
ASSUMED = 0.05  # half-width of the interval of a result without one
RULE = "rule"
MAY_DIFFER = {
    "driver": "driver",
    "software": "image",
    "hardware": "machine",
    "code_link": "model's code",
    RULE: "statistics",
}


Group = tuple[Any, ...]
"""The values of COMPARABLE, and the machine in words, empty if its results are of one machine."""


@dataclass(frozen=True)
class Result:
    id: int
    when: datetime
    age_days: float
    throughput: float
    low: float | None
    """Lower end of its 95 % interval; None, as `high`, for a record without one."""
    high: float | None
    steady: bool | None
    known: dict[str, str | None]
    """What may differ between runs: MAY_DIFFER."""

    @property
    def of_first_rule(self) -> bool:
        """Whether its figure is by the first rule of the statistics."""
        return self.known[RULE] == FIRST_RULE


class Results:
    """Results, oldest first. Each is made of its row when it is asked for: a page shows few of them."""

    def __init__(self, rows: Sequence[Any], now: datetime) -> None:
        self._rows, self._now = rows, now

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Result]:
        return map(self._result, self._rows)

    def __getitem__(self, place: int) -> Result:
        return self._result(self._rows[place])

    @property
    def throughputs(self) -> NDArray[np.float64]:
        return np.array([row.throughput for row in self._rows], dtype=np.float64)

    def _result(self, row: Any) -> Result:
        when = _moment(row)
        return Result(
            id=row.id,
            when=when,
            age_days=(self._now - when).total_seconds() / 86400,
            throughput=row.throughput,
            low=row.low,
            high=row.high,
            steady=None if row.steady_state is None else bool(row.steady_state),
            known={
                **{column: getattr(row, column) for column in MAY_DIFFER if column != RULE},
                RULE: FIRST_RULE if row.first_rule else "now",
            },
        )


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

    @cached_property
    def latest(self) -> Result:
        return self.results[-1]

    @property
    def stale(self) -> bool:
        return self.latest.age_days > STALE_DAYS

    @cached_property
    def changes(self) -> list[LevelChange]:
        """Where the level changed, oldest first; without a last run that is not confirmed."""
        changes = []
        for before, after in pairwise(level for level in self.levels if level.confirmed):
            last, first = self.results[after.start - 1], self.results[after.start]
            differs = [
                f"{word} {last.known[column] or 'unknown'} → {first.known[column] or 'unknown'}"
                for column, word in MAY_DIFFER.items()
                if last.known[column] != first.known[column]
            ]
            changes.append(LevelChange(first, before.median, after.median, differs))
        return changes


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
        groups = _by_machine(_rows(engine, model), all_machines)
    kept = {group: [row for row in rows if since is None or _moment(row) >= since] for group, rows in groups.items()}
    since_text = f"since {since.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if since else ""
    filters = ", ".join(filter(None, (f"model {model}" if model else "", since_text)))
    if not any(kept.values()):
        more = "leave out --model or --since" if filters else "gbench cndb submit RECORD stores one"
        only = f" ({filters})" if filters else ""
        raise RecordError(f"database {config.shown} holds no result with a throughput{only}", more)
    shown = [group for group, rows in kept.items() if rows]
    configurations = _named([_configuration(kept[group], group, now) for group in shown])
    regressions = [
        Regression(one, result, mean, count, 1 - result.throughput / mean)
        for one, group in zip(configurations, shown, strict=True)
        for result, mean, count in slower_results(Results(groups[group], now))
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
        before = [results[earlier] for earlier in range(max(place - BEFORE, 0), place)]
        mean = fmean(other.throughput for other in before)
        lows = [(1 - ASSUMED) * other.throughput if other.low is None else other.low for other in before]
        high = (1 + ASSUMED) * one.throughput if one.high is None else one.high
        if high < min(lows) and one.throughput <= (0.95 if len(before) < FEW else 0.98) * mean:
            found.append((one, mean, len(before)))
    return found


def _rows(engine: Engine, model: str | None) -> Sequence[Any]:
    """The results with a throughput, oldest first."""
    names = {f"name{n}": name for n, name in enumerate(sorted(record_names(model)))} if model is not None else {}
    where = f"AND model IN ({', '.join(f':{name}' for name in names)})" if names else ""
    with engine.connect() as connection:
        query = text(f"SELECT {COLUMNS} FROM gbench_runs WHERE throughput > 0 AND run_time IS NOT NULL {where}")
        return sorted(connection.execute(query, names), key=attrgetter("run_time", "id"))


def _by_machine(rows: Sequence[Any], all_machines: bool) -> dict[Group, list[Any]]:
    """Rows of one configuration and machine. A row that says no machine is of the only one, or of an unknown one."""
    together = defaultdict[Any, list[Any]](list)
    for row in rows:
        together[row.configuration].append(row)
    groups = defaultdict[Group, list[Any]](list)
    hosts = {row.machine: row.host_name for row in rows if row.machine is not None}
    for members in together.values():
        known = COMPARABLE(members[0])
        machines = {row.machine for row in members} - {None}
        for row in members:
            machine = ""
            if len(machines) > 1 and not all_machines:
                machine = f"{hosts[row.machine]} ({row.machine[:8]})" if row.machine else "a machine not said"
            group = (*known, machine)
            groups[group].append(row)
    return groups


def _configuration(rows: Sequence[Any], group: Group, now: datetime) -> Configuration:
    one, results = rows[-1], Results(rows, now)
    batch = f"batch {one.batch_size}" if one.batch_size else ""
    as_launch_sh = throughput_of(None, one.model, one.run_id) == LAUNCH_SH
    kind = AS_LAUNCH_SH if as_launch_sh else ""
    details = (batch, one.dataset, one.dist_mode, one.recipe, kind, group[-1])
    return Configuration(
        name=", ".join(
            (one.model or "unknown model", one.precision or "no precision", f"{one.dev_num} × {one.device}")
        ),
        details=", ".join(str(detail) for detail in details if detail),
        key=hashlib.sha256(repr(group).encode()).hexdigest()[:6],
        unit=one.throughput_unit or "",
        results=results,
        levels=levels(results.throughputs),
    )


def _moment(row: Any) -> datetime:
    """When the run of a row started; SQLite has no type for times."""
    when: datetime = datetime.fromisoformat(row.run_time) if isinstance(row.run_time, str) else row.run_time
    return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _named(configurations: list[Configuration]) -> list[Configuration]:
    """Add the key to the details of configurations that differ only in their settings."""
    times = Counter((one.name, one.details) for one in configurations)
    return [
        replace(one, details=f"{one.details}, settings {one.key}" if times[one.name, one.details] > 1 else one.details)
        for one in configurations
    ]
