"""Store records in a database by the original's rules (CNDB section 3), each run only once."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_if_new_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_if_new_sqlite

from gbench.cndb.database import writing
from gbench.cndb.identity import HASH_KEY, SCHEMA_KEY
from gbench.cndb.record import Record
from gbench.cndb.rows import COLUMNS, info_of, row_of
from gbench.cndb.tables import hardware_infos, models, run_id, software_infos, train_results
from gbench.cndb.values import figures_as_numbers

Action = Literal["inserted", "updated", "already there"]
NOT_CONTENT = ("id", "visible", "create_at", "update_at")  # columns that the comparison of rows ignores
KEYS = {  # column -> the record's key
    **{column: key for key, column in COLUMNS.items()},
    "model_id": "model",
    "soft_info_id": "soft_info",
    "hard_info_id": "hard_info",
    "md5": "md5_val",
}
BATCH = 500  # records per transaction, so that other writers don't wait long


@dataclass(frozen=True)
class Stored:
    """The row of a stored record, and the action taken."""

    id: int
    action: Action
    differs: tuple[str, ...] = ()
    """Keys of the record in which the row of its run, left as it is by `save`, differs."""


def submit(engine: Engine, records: Iterable[Record], store_type: str) -> list[Stored]:
    """Store records, `BATCH` per transaction; a failure does not undo earlier transactions.

    Args:
        store_type: `save` inserts unless an equal row exists; `update` overwrites the first row with the same md5, or
            inserts; anything else skips a record whose md5 exists. A run whose id exists is never inserted again.

    Raises sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    stored: list[Stored] = []
    records = list(records)
    for start in range(0, len(records), BATCH):
        with writing(engine) as connection:
            store = _Store(connection, store_type)
            batch = [store.put(record) for record in records[start : start + BATCH]]
        stored += batch
    return stored


class _Store:
    """Stores records in one transaction. Its look-ups stay valid, as it holds the write lock."""

    def __init__(self, connection: Connection, store_type: str) -> None:
        self._connection, self._store_type = connection, store_type
        self._seen: dict[str, dict[str, int]] = {}  # md5 -> fingerprint -> id

    def put(self, record: Record) -> Stored:
        row = self._row(record)
        there = self._there(record, row)
        if there is not None and self._store_type != "update":
            known = record.run_id is None or self._store_type != "save"
            return Stored(there, "already there", () if known else self._differences(row, there))
        if there is not None:
            self._connection.execute(
                update(train_results).where(train_results.c.id == there).values(**row, update_at=_now())
            )
            return Stored(there, "updated")
        now = _now()
        values = {**row, "visible": False, "create_at": now, "update_at": now}
        result = self._connection.execute(insert(train_results).values(**values).returning(train_results.c.id))
        number = result.scalar_one()
        if row["md5"] in self._seen:
            self._seen[row["md5"]][_fingerprint(row)] = number
        return Stored(number, "inserted")

    def _there(self, record: Record, row: dict[str, Any]) -> int | None:
        """The id of this record's existing row, if any."""
        ids = select(train_results.c.id).order_by(train_results.c.id).limit(1)
        if record.run_id is not None:
            same_run: int | None = self._connection.scalar(ids.where(run_id() == record.run_id))
            if same_run is not None:
                return same_run
        if self._store_type != "save":
            same_md5: int | None = self._connection.scalar(ids.where(train_results.c.md5 == row["md5"]))
            return same_md5
        if record.run_id is not None:
            return None  # an equal row would have its run id
        if row["md5"] not in self._seen:
            rows = self._connection.execute(
                select(train_results).where(train_results.c.md5 == row["md5"]).order_by(train_results.c.id.desc())
            )
            self._seen[row["md5"]] = {_fingerprint(found): found["id"] for found in map(dict, rows.mappings())}
        return self._seen[row["md5"]].get(_fingerprint(row))

    def _differences(self, row: dict[str, Any], there: int) -> tuple[str, ...]:
        """The record's keys in which an existing row has other content; none if both have the same hash."""
        query = select(train_results).where(train_results.c.id == there)
        new, old = _content(row), _content(dict(self._connection.execute(query).mappings().one()))
        extras = [dict(one["extra"] or {}) for one in (new, old)]  # both name the run
        seals = [extra.pop(HASH_KEY, None) for extra in extras]
        for extra in extras:
            extra.pop(SCHEMA_KEY, None)  # an earlier gbench may have stored it
        if seals[0] == seals[1] is not None:
            return ()
        new["extra"], old["extra"] = extras
        return tuple(key for column, key in KEYS.items() if _dumped(new[column]) != _dumped(old[column]))

    def _row(self, record: Record) -> dict[str, Any]:
        software_id, software = self._info(software_infos, *info_of(record.soft_info))
        hardware_id, hardware = self._info(hardware_infos, *info_of(record.hard_info))
        ids = {
            "model_id": self._model(record.model, list(record.metric_data or {})),
            "soft_info_id": software_id,
            "hard_info_id": hardware_id,
        }
        return {**row_of(record, software, hardware), **ids}

    def _info(self, table: Table, name: str, detail: Any) -> tuple[int, Any]:
        """Id and detail of the info row with this name; an existing row is kept."""
        row = self._named(table, name, detail=detail)
        return row.id, row.detail

    def _model(self, name: str, metrics: list[str]) -> int:
        """Id of the model's row; its metrics are those of the last record with metrics."""
        row = self._named(models, name, metrics=metrics or None)
        if metrics and row.metrics != metrics:
            self._connection.execute(update(models).where(models.c.id == row.id).values(metrics=metrics))
        return int(row.id)

    def _named(self, table: Table, name: str, **values: Any) -> Row[Any]:
        """The row with this name, created with `values` if missing."""
        query = select(table).where(table.c.name == name)
        row = self._connection.execute(query).one_or_none()
        if row is not None:
            return row
        # The original's tool does not wait for our lock: it may insert the row at the same time.
        new = insert_if_new_postgresql if self._connection.dialect.name == "postgresql" else insert_if_new_sqlite
        self._connection.execute(new(table).values(name=name, **values).on_conflict_do_nothing(index_elements=["name"]))
        return self._connection.execute(query).one()


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    """All columns except NOT_CONTENT; equal for figures with their unit in one text and as two values."""
    values = {column.name: row[column.name] for column in train_results.c if column.name not in NOT_CONTENT}
    if isinstance(values["performance"], dict):
        values["performance"] = figures_as_numbers(values["performance"])
    return values


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _fingerprint(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dumped(_content(row)).encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
