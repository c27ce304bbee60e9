"""Look up what a database has of some records: models, infos, and the rows of their runs and md5s.

All in one query, as each takes a round trip.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    CompoundSelect,
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
    """The columns of Known, of all rows."""
    columns = {
        "kind": literal_column(f"'{kind}'"),
        "name": name,
        "id": number,
        "metrics": cast(null(), Texts) if metrics is None else metrics,
        "detail": cast(null(), Json) if detail is None else detail,
    }
    return select(*(column.label(label) for label, column in columns.items()))


def _query(by_md5: bool, single: bool) -> CompoundSelect[Any]:
    """The rows of Known with the names of the parameters called as their kinds: a list each or, if `single`, one each.

    SQLAlchemy writes the SQL of lists again for each call; that of single names it keeps.
    """
    parts = {
        "models": _part("models", models.c.name, models.c.id, metrics=models.c.metrics),
        **{one.name: _part(one.name, one.c.name, one.c.id, detail=one.c.detail) for one in INFOS},
        "run": _part("run", run_id(), train_results.c.id),  # few have the same: to group them would take longer
    }
    if by_md5:
        md5 = train_results.c.md5
        parts["md5"] = _part("md5", md5, func.min(train_results.c.id)).group_by(md5)
    chosen = []
    for kind, part in parts.items():
        name = part.selected_columns["name"]
        chosen.append(part.where(name == bindparam(kind) if single else name.in_(bindparam(kind, expanding=True))))
    return union_all(*chosen)


# Made once: to make and compile a statement takes longer than to execute it.
INFOS = (software_infos, hardware_infos)
NAMED = {table.name: table for table in (models, *INFOS)}
QUERIES = {(by_md5, single): _query(by_md5, single) for by_md5 in (False, True) for single in (False, True)}
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
    given = {kind: names for kind, names in wanted.items() if names or kind != "md5"}
    single = all(len(names) == 1 for names in given.values())
    parameters = {kind: names[0] for kind, names in given.items()} if single else given
    rows = connection.execute(QUERIES["md5" in given, single], parameters)
    latest_first = sorted(rows, key=attrgetter("id"), reverse=True)
    return {(row.kind, row.name): Known(*row) for row in latest_first}


def _create(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row, unless its name exists.

    The original's tool does not wait for our lock: it may insert the row at the same time.
    """
    new = insert_if_new_postgresql if connection.dialect.name == "postgresql" else insert_if_new_sqlite
    connection.execute(new(table).on_conflict_do_nothing(index_elements=["name"]), row)
