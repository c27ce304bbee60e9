"""Query records from a database, the latest run first: selected figures, or whole records.

Records that don't say when their run started come last, the one stored last first.

Works on any database of the contract, including the original's own. Writes nothing, not even an index.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import ColumnElement, Engine, RowMapping, Select, func, or_, select

from gbench.base.utc import time_of
from gbench.cndb.record import Record, checked
from gbench.cndb.rows import values_of_row
from gbench.cndb.tables import hardware_infos, models, run_id, software_infos, started, train_results
from gbench.cndb.throughput import END_TO_END, rule_in, throughput_of
from gbench.cndb.values import measured
from gbench.errors import RecordError
from gbench.settings.model_file import record_names

ROW = train_results.c
FETCHED = 1000  # rows per round trip
NEVER, DAY = datetime.min.replace(tzinfo=timezone.utc), timedelta(days=1)  # more than a zone's distance from UTC
DIGITS = "0", ":"  # a text that is a time lies between them
TRUTH = {"true": True, "1": True, "false": False, "0": False}  # booleans of PostgreSQL and SQLite


@dataclass(frozen=True)
class RecordFilter:
    """Selects records; None matches any."""

    model: str | None = None
    """Its name in the record, or at launch; pix2pix, the original's name, also selects pix2pix-resnet_9blocks."""
    device: str | None = None
    """Part of its name."""
    precision: str | None = None
    since: datetime | None = None
    """When the run started at the earliest; None also matches records that don't say it."""
    limit: int | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the history. `low` and `high` are the ends of the throughput's 95 % interval; all three in `unit`."""

    id: int
    ran: datetime | None
    """When the run started; None if the record doesn't say it."""
    stored: datetime | None
    model: str
    batch_size: int | None
    dev_num: int
    device: str
    precision: str | None
    dist_type: str | None
    dataset: str
    throughput: float | None
    low: float | None
    high: float | None
    unit: str | None
    steady: bool | None
    metrics: dict[str, Any] | None
    run_id: str | None
    throughput_of: str | None
    """As gbench.cndb.throughput says."""
    data_source: str | None
    statistics: int | None
    """The rule of its figures, as `RunResult.statistics`; None for figures that gbench didn't measure."""


@dataclass(frozen=True)
class StoredRecord:
    id: int
    md5: str | None
    created: datetime | None
    updated: datetime | None
    record: Record


def entries(engine: Engine, where: RecordFilter) -> list[Entry]:
    """The history. Raises sqlalchemy.exc.SQLAlchemyError."""
    columns = {
        "id": ROW.id,
        "ran": started(),
        "stored": ROW.create_at,
        "model": models.c.name,
        "batch_size": ROW.batch_size,
        "dev_num": ROW.dev_num,
        "device": ROW.device,
        "precision": ROW.train_exec_mode,
        "dist_type": ROW.dist_mode,
        "dataset": ROW.dataset,
        "throughput": performance(engine, "throughput"),
        "low": performance(engine, "throughput_interval", "low"),
        "high": performance(engine, "throughput_interval", "high"),
        "unit": performance(engine, "throughput_unit"),
        "steady": performance(engine, "steady_state"),
        "metrics": ROW.metrics,
        "run_id": run_id(),
        "data_share": performance(engine, "data_share"),
        "statistics": performance(engine, "statistics"),
        "data_source": performance(engine, "data_source"),
    }
    query = select(*(column.label(name) for name, column in columns.items()))
    query = _selected(query.join(models, models.c.id == ROW.model_id, isouter=True), where)
    with engine.connect() as connection:
        found = [_entry(**row) for row in connection.execute(query).mappings()]
    found.sort(key=lambda entry: entry.ran or NEVER, reverse=True)  # the text of a time may be in another zone
    return [entry for entry in found if _in_time(entry.ran, where)][: where.limit]


def overdue(newest_first: list[Entry], since: datetime) -> list[Entry]:
    """The newest entry of each configuration that did not run since then."""
    newest: dict[tuple[object, ...], Entry] = {}
    for entry in newest_first:
        kind = (entry.model, entry.batch_size, entry.dev_num, entry.device, entry.precision, entry.dataset)
        newest.setdefault(kind, entry)
    return [entry for entry in newest.values() if entry.ran is None or entry.ran < since]


def undated(engine: Engine, where: RecordFilter) -> int:
    """How many records `since` leaves out because they don't say when they ran. Raises as `entries`."""
    query = select(func.count()).select_from(train_results).join(models, models.c.id == ROW.model_id, isouter=True)
    with engine.connect() as connection:
        undated = or_(started().is_(None), started() < DIGITS[0], started() >= DIGITS[1])
        found = connection.scalar(_filtered(query, replace(where, since=None)).where(undated))
    return found or 0


def find(engine: Engine, number: int) -> StoredRecord:
    """The record of one row. Raises RecordError: no such row, or invalid; sqlalchemy.exc.SQLAlchemyError."""
    with engine.connect() as connection:
        row = connection.execute(_whole().where(ROW.id == number)).mappings().one_or_none()
    if row is None:
        raise RecordError(f"there is no record {number}", "gbench cndb list shows the ids")
    return StoredRecord(number, row["md5"], row["create_at"], row["update_at"], _record(row))


def records(
    engine: Engine, where: RecordFilter, bad: Callable[[RecordError], None] | None = None
) -> Iterator[tuple[int, Record]]:
    """Whole records with their ids, read lazily.

    Args:
        bad: called with the error of an invalid row, which is then skipped.

    Raises RecordError: a row is invalid, and `bad` is None. sqlalchemy.exc.SQLAlchemyError as in `find`.
    """
    query, given = _selected(_whole(), where).execution_options(yield_per=FETCHED), 0
    with engine.connect() as connection:
        for row in connection.execute(query).mappings():
            if given == where.limit:
                return
            try:
                record = _record(row)
            except RecordError as error:
                if bad is None:
                    raise
                bad(error)
            else:
                if _in_time(time_of((record.extra or {}).get("started_utc")), where):
                    given += 1
                    yield row["id"], record


def _record(row: RowMapping) -> Record:
    return checked(values_of_row(dict(row)), f"record {row['id']}", may_be_empty=True)


def performance(engine: Engine, *path: str) -> ColumnElement[Any]:
    """The value at a path in `performance`: text, but on SQLite a number stays a number.

    No cast: a query would fail on text that another tool wrote in place of a number, and SQLite's text has only 15
    digits.
    """
    if engine.dialect.name == "sqlite":
        return func.json_extract(ROW.performance, "$." + ".".join(path))
    return func.jsonb_extract_path_text(ROW.performance, *path)


def _whole() -> Select[Any]:
    return (
        select(
            train_results,
            models.c.name.label("model"),
            software_infos.c.name.label("software"),
            software_infos.c.detail.label("software_detail"),
            hardware_infos.c.name.label("hardware"),
            hardware_infos.c.detail.label("hardware_detail"),
        )
        .join(models, models.c.id == ROW.model_id, isouter=True)
        .join(software_infos, software_infos.c.id == ROW.soft_info_id, isouter=True)
        .join(hardware_infos, hardware_infos.c.id == ROW.hard_info_id, isouter=True)
    )


def _selected(query: Select[Any], where: RecordFilter) -> Select[Any]:
    """The matching rows, in the order of the module.

    With a limit, select the ids first, by columns of the index. Otherwise a database without it, such as one of the
    original, would unpack all JSON of all rows before sorting them.
    """
    newest = started().desc().nulls_last(), ROW.create_at.desc(), ROW.id.desc()
    if where.limit is None or where.since is not None:  # with it, the reader counts
        return _filtered(query, where).order_by(*newest)
    named = select(ROW.id).join(models, models.c.id == ROW.model_id, isouter=True)
    chosen = _filtered(named, where).order_by(*newest).limit(where.limit).subquery()
    return query.join(chosen, chosen.c.id == ROW.id).order_by(*newest)


def _in_time(ran: datetime | None, where: RecordFilter) -> bool:
    return where.since is None or (ran is not None and ran >= where.since)


def _filtered(query: Select[Any], where: RecordFilter) -> Select[Any]:
    if where.model is not None:
        query = query.where(models.c.name.in_(record_names(where.model)))
    if where.device is not None:
        query = query.where(func.lower(ROW.device).contains(where.device.lower(), autoescape=True))
    if where.precision is not None:
        query = query.where(ROW.train_exec_mode == where.precision)
    if where.since is not None:
        earliest = (max(where.since.astimezone(timezone.utc), NEVER + DAY) - DAY).replace(tzinfo=None).isoformat()
        query = query.where(started() >= earliest, started() < DIGITS[1])  # more than match, by an index
    return query


def _entry(*, throughput: Any, low: Any, high: Any, unit: str | None, steady: Any, **columns: Any) -> Entry:
    (figure, own_unit), (low, _), (high, _) = (measured(str(one)) or (None, "") for one in (throughput, low, high))
    perf = {key: columns.pop(key) for key in ("data_share", "statistics")}
    columns["throughput_of"] = throughput_of(perf, columns["model"], columns["run_id"])
    columns["statistics"] = rule_in(perf) if columns["throughput_of"] == END_TO_END else None
    columns["ran"] = time_of(columns["ran"])
    known = TRUTH.get(str(steady))
    return Entry(throughput=figure, low=low, high=high, unit=unit or own_unit or None, steady=known, **columns)
