"""The data of the history page, read through gbench's views (docs/dashboards.md).

The views know no machine, so runs are grouped here, and judged by the rule of `gbench_regressions` within a group.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from operator import itemgetter
from statistics import fmean
from typing import Any

from sqlalchemy import Engine, inspect, text

from gbench.cndb.database import connect, database_errors
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.queries import of_first_rule
from gbench.cndb.throughput import AS_LAUNCH_SH, FIRST_RULE, LAUNCH_SH, throughput_of
from gbench.errors import InfrastructureError, RecordError
from gbench.measure.trend import Level, levels
from gbench.settings.model_file import record_names

STALE_DAYS = 30.0
COLUMNS = (
    "id, run_time, age_days, configuration, model, dataset, device, dev_num, batch_size, precision, dist_mode, recipe, "
    "run_id, throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link"
)
COMPARABLE = itemgetter("configuration", "model", "device", "precision")
MACHINES = {
    "postgresql": "SELECT id, extra #>> '{machine,key}', extra #>> '{machine,host_name}' FROM train_results",
    "sqlite": "SELECT id, json_extract(more, '$.machine.key'), json_extract(more, '$.machine.host_name') "
    "FROM (SELECT id, CASE WHEN json_valid(extra) THEN extra END AS more FROM train_results)",
}
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
    results: list[Result]
    """Oldest first, of one machine unless all are taken together."""
    levels: list[Level]
    """Oldest first."""

    @property
    def latest(self) -> Result:
        return self.results[-1]

    @property
    def stale(self) -> bool:
        return self.latest.age_days > STALE_DAYS

    @property
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
        if "gbench_trend" not in inspect(engine).get_view_names():
            raise InfrastructureError(
                f"database {config.shown} lacks gbench's views", "gbench cndb submit RECORD creates them"
            )
        trend = _rows(engine, "trend", COLUMNS, "configuration, model, device, precision, run_time, id", model)
        machines = {} if all_machines else _machines(engine)
        first = of_first_rule(engine, model)
    days = (now - since).total_seconds() / 86400 if since else None
    marked = [{**row, RULE: FIRST_RULE if row["id"] in first else "now"} for row in trend]
    groups = _by_machine(marked, machines)
    kept = {group: [row for row in rows if days is None or row["age_days"] <= days] for group, rows in groups.items()}
    since_text = f"since {since.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC" if since else ""
    filters = ", ".join(filter(None, (f"model {model}" if model else "", since_text)))
    if not any(kept.values()):
        more = "leave out --model or --since" if filters else "gbench cndb submit RECORD stores one"
        only = f" ({filters})" if filters else ""
        raise RecordError(f"database {config.shown} holds no result with a throughput{only}", more)
    configurations = _named([_configuration(rows, group) for group, rows in kept.items() if rows])
    place = {result.id: (one, result) for one in configurations for result in one.results}
    regressions = [
        Regression(*place[result.id], mean, count, 1 - result.throughput / mean)
        for rows in groups.values()
        for result, mean, count in slower_results([_result(row) for row in rows])
        if result.id in place
    ]
    regressions.sort(key=lambda one: -one.loss_share)
    configurations.sort(key=lambda one: (-one.latest.when.timestamp(), one.name, one.key))
    return HistoryData(config.shown, filters, now, configurations, regressions)


def slower_results(results: Sequence[Result]) -> list[tuple[Result, float, int]]:
    """The results that the rule of `gbench_regressions` reports, with the mean and the number of those before."""
    found = []
    for place, one in enumerate(results):
        before = results[max(place - BEFORE, 0) : place]
        if not before or one.age_days > RECENT_DAYS:
            continue
        mean = fmean(other.throughput for other in before)
        lows = [(1 - ASSUMED) * other.throughput if other.low is None else other.low for other in before]
        high = (1 + ASSUMED) * one.throughput if one.high is None else one.high
        if high < min(lows) and one.throughput <= (0.95 if len(before) < FEW else 0.98) * mean:
            found.append((one, mean, len(before)))
    return found


def _machines(engine: Engine) -> dict[int, tuple[str, str]]:
    """Key and host name of the machine of each row that says it."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(MACHINES[engine.dialect.name]).all()
    return {number: (str(key), str(host)) for number, key, host in rows if key is not None}


def _by_machine(rows: Sequence[Any], machines: dict[int, tuple[str, str]]) -> dict[Group, list[Any]]:
    """Rows of one configuration and machine. A row that says no machine is of the only one, or of an unknown one."""
    keys = defaultdict[Any, set[str]](set)
    for row in rows:
        if row["id"] in machines:
            keys[COMPARABLE(row)].add(machines[row["id"]][0])
    hosts = dict(machines.values())
    groups = defaultdict[Group, list[Any]](list)
    for row in rows:
        several = len(keys[COMPARABLE(row)]) > 1
        key = machines[row["id"]][0] if several and row["id"] in machines else ""
        machine = f"{hosts[key]} ({key[:8]})" if key else "a machine not said" if several else ""
        group = (*COMPARABLE(row), machine)
        groups[group].append(row)
    return groups


def _rows(engine: Engine, view: str, columns: str, order: str, model: str | None) -> Sequence[Any]:
    names = {f"name{n}": name for n, name in enumerate(sorted(record_names(model)))} if model is not None else {}
    where = f"WHERE model IN ({', '.join(f':{name}' for name in names)})" if names else ""
    with engine.connect() as connection:
        query = text(f"SELECT {columns} FROM gbench_{view} {where} ORDER BY {order}")
        return connection.execute(query, names).mappings().all()


def _configuration(rows: Sequence[Any], group: Group) -> Configuration:
    one = rows[-1]
    results = [_result(row) for row in rows]
    batch = f"batch {one['batch_size']}" if one["batch_size"] else ""
    as_launch_sh = throughput_of(None, one["model"], one["run_id"]) == LAUNCH_SH
    kind = AS_LAUNCH_SH if as_launch_sh else ""
    details = (batch, one["dataset"], one["dist_mode"], one["recipe"], kind, group[-1])
    devices = f"{one['dev_num']} × {one['device']}"
    return Configuration(
        name=", ".join((one["model"] or "unknown model", one["precision"] or "no precision", devices)),
        details=", ".join(str(detail) for detail in details if detail),
        key=hashlib.sha256(repr(group).encode()).hexdigest()[:6],
        unit=one["throughput_unit"] or "",
        results=results,
        levels=levels([result.throughput for result in results]),
    )


def _result(row: Any) -> Result:
    when = row["run_time"]
    if isinstance(when, str):  # SQLite has no type for times
        when = datetime.fromisoformat(when)
    return Result(
        id=row["id"],
        when=when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc),
        age_days=row["age_days"],
        throughput=row["throughput"],
        low=row["low"],
        high=row["high"],
        steady=None if row["steady_state"] is None else bool(row["steady_state"]),
        known={column: row[column] for column in MAY_DIFFER},
    )


def _named(configurations: list[Configuration]) -> list[Configuration]:
    """Add the key to the details of configurations that differ only in their settings."""
    times = Counter((one.name, one.details) for one in configurations)
    return [
        replace(one, details=f"{one.details}, settings {one.key}" if times[one.name, one.details] > 1 else one.details)
        for one in configurations
    ]
