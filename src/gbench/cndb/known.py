"""Look up what a database has of some records: models, infos, and the rows of their runs and md5s.

All in one query, as each takes a round trip.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    Table,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_if_new_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_if_new_sqlite
from sqlalchemy.sql import ColumnElement

from gbench.cndb.record import Named, Record
from gbench.cndb.rows import detail_of, name_of
from gbench.cndb.tables import Json, Texts, hardware_infos, models, run_id, software_infos, train_results

Key = tuple[str, str]  # kind and name: a table and the name of its row, or "run" or "md5" and its text


class Known(NamedTuple):
    """The row with a name, or the first one of a run or an md5."""

    kind: str
    name: str
    id: int
    metrics: list[str] | None
    """Of a model."""
    detail: Any
    """Of an info."""


def _part(
    kind: str,
    name: ColumnElement[Any],
    number: ColumnElement[int],
    metrics: ColumnElement[Any] | None = None,
    detail: ColumnElement[Any] | None = None,
) -> Select[Any]:
    """The columns of Known, where the name is one of the parameter that is called as the kind."""
    columns = {
        "kind": literal_column(f"'{kind}'"),
        "name": name,
        "id": number,
        "metrics": cast(null(), Texts) if metrics is None else metrics,
        "detail": cast(null(), Json) if detail is None else detail,
    }
    chosen = (column.label(label) for label, column in columns.items())
    return select(*chosen).where(name.in_(bindparam(kind, expanding=True)))


# Made once: to make and compile a statement takes longer than to execute it.
NAMED = {table.name: table for table in (models, software_infos, hardware_infos)}
PARTS = (
    _part("models", models.c.name, models.c.id, metrics=models.c.metrics),
    _part("software_infos", software_infos.c.name, software_infos.c.id, detail=software_infos.c.detail),
    _part("hardware_infos", hardware_infos.c.name, hardware_infos.c.id, detail=hardware_infos.c.detail),
    _part("run", run_id(), train_results.c.id),  # few have the same; to group them would take longer than all of it
)
OF_MD5S = _part("md5", train_results.c.md5, func.min(train_results.c.id)).group_by(train_results.c.md5)
BY_RUN, BY_RUN_OR_MD5 = union_all(*PARTS), union_all(*PARTS, OF_MD5S)
NEW_METRICS = update(models).where(models.c.id == bindparam("number"))


def look_up(connection: Connection, records: Sequence[Record], md5s: Iterable[str]) -> dict[Key, Known]:
    """What the database has of these records, and of these md5s. Creates missing models and infos.

    The metrics of a model become those of the last record that has any. An existing info row is kept.
    """
    metrics: dict[str, list[str]] = {}
    software: dict[str, Named | None] = {}
    hardware: dict[str, Named | None] = {}
    for record in records:
        metrics[record.model] = list(record.metric_data or {}) or metrics.get(record.model, [])
        software.setdefault(name_of(record.soft_info), record.soft_info)
        hardware.setdefault(name_of(record.hard_info), record.hard_info)
    wanted = {
        "models": list(metrics),
        "software_infos": list(software),
        "hardware_infos": list(hardware),
        "run": [record.run_id for record in records if record.run_id is not None],
        "md5": list(set(md5s)),
    }
    known = _known(connection, wanted)
    missing = [key for key in ((kind, name) for kind in NAMED for name in wanted[kind]) if key not in known]
    for kind, name in missing:
        infos = software if kind == "software_infos" else hardware
        columns = {"metrics": metrics[name] or None} if kind == "models" else {"detail": detail_of(infos[name])}
        _create(connection, NAMED[kind], {"name": name, **columns})
    if missing:
        known = _known(connection, wanted)
    for name, some in metrics.items():
        model = known["models", name]
        if some and model.metrics != some:
            connection.execute(NEW_METRICS, {"number": model.id, "metrics": some})
    return known


def _known(connection: Connection, wanted: dict[str, list[str]]) -> dict[Key, Known]:
    rows = connection.execute(BY_RUN_OR_MD5 if wanted["md5"] else BY_RUN, wanted)
    latest_first = sorted(rows, key=attrgetter("id"), reverse=True)
    return {(row.kind, row.name): Known(*row) for row in latest_first}


def _create(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row, unless its name exists.

    The original's tool does not wait for our lock: it may insert the row at the same time.
    """
    new = insert_if_new_postgresql if connection.dialect.name == "postgresql" else insert_if_new_sqlite
    connection.execute(new(table).on_conflict_do_nothing(index_elements=["name"]), row)
