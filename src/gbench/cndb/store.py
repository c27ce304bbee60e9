"""Store records in a database by the original's rules (CNDB section 3), each run only once.

A transaction stores a batch: one query finds what the database has of it, one statement inserts the rest.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Result, bindparam, func, insert, select, update

from gbench.cndb.database import writing
from gbench.cndb.identity import HASH_KEY, SCHEMA_KEY, md5_of, seal_holds
from gbench.cndb.known import Key, look_up
from gbench.cndb.record import Record
from gbench.cndb.rows import COLUMNS, name_of, row_of
from gbench.cndb.tables import train_results
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

# Made once: to make and compile a statement takes longer than to execute it.
ROW = train_results.c
INSERT_ONE = insert(train_results)
INSERT = INSERT_ONE.returning(ROW.id, sort_by_parameter_order=True)
UPDATE = update(train_results).where(ROW.id == bindparam("number"))
BY_ID = select(train_results).where(ROW.id == bindparam("number"))
OF_MD5S = select(train_results).where(ROW.md5.in_(bindparam("md5s", expanding=True))).order_by(ROW.id)
SINCE = select(train_results).where(ROW.id > bindparam("last")).order_by(ROW.id)
LAST_ID = select(func.max(ROW.id))
NEW_IDS = select(func.nextval(func.pg_get_serial_sequence("train_results", "id"))).select_from(
    func.generate_series(1, bindparam("count"))
)


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
    records, contents = list(records), _Contents()
    together = 1 if store_type == "update" else BATCH  # an update may change which row the next record overwrites
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        with writing(engine) as connection:
            store = _Store(connection, store_type, contents)
            done = [store.put(batch[first : first + together]) for first in range(0, len(batch), together)]
        stored += chain.from_iterable(done)
    return stored


class _Contents:
    """Ids of rows by a hash of their content, to find those that are equal in every column.

    Kept for a whole submission. Rows that others insert between its transactions have higher ids, and are read then.
    """

    def __init__(self) -> None:
        self._ids: dict[Key, int] = {}
        self._md5s: set[str] = set()  # those whose rows have been read
        self._last: int | None = None  # the highest id at that time

    def find(self, connection: Connection, md5s: Mapping[Key, str]) -> dict[Key, int]:
        """The ids of rows with these contents, given with their md5s."""
        if new := set(md5s.values()) - self._md5s:
            self._md5s |= new
            self._add(connection.execute(OF_MD5S, {"md5s": list(new)}))
        if self._last is not None:
            self._add(connection.execute(SINCE, {"last": self._last}))
        self._last = connection.scalar(LAST_ID) or 0
        return {key: self._ids[key] for key in md5s if key in self._ids}

    def inserted(self, key: Key, number: int) -> None:
        """Add a row that this submission has inserted."""
        self._ids[key] = number
        self._last = max(number, self._last or 0)

    def _add(self, rows: Result[Any]) -> None:
        for row in map(dict, rows.mappings()):
            if row["md5"] in self._md5s:
                self._ids.setdefault(_content_key(row), row["id"])


class _Store:
    """Stores records in one transaction. Its look-ups stay valid, as it holds the write lock."""

    def __init__(self, connection: Connection, store_type: str, contents: _Contents) -> None:
        self._connection, self._store_type, self._contents = connection, store_type, contents

    def put(self, records: Sequence[Record]) -> list[Stored]:
        """Store records with one look-up and one INSERT."""
        rows, ids = self._rows(records)
        keys = [self._keys(record, row) for record, row in zip(records, rows, strict=True)]
        md5s = {first: row["md5"] for (first, *_), row in zip(keys, rows, strict=True) if first[0] == "content"}
        if md5s:
            ids |= self._contents.find(self._connection, md5s)
        found = _found(keys, ids)
        new = [place for place, key in enumerate(found) if key is None]
        for place, number in zip(new, self._insert([rows[place] for place in new]), strict=True):
            ids |= dict.fromkeys(keys[place], number)
            if keys[place][0] in md5s:
                self._contents.inserted(keys[place][0], number)
        return [
            Stored(ids[first], "inserted") if key is None else self._leave_or_update(record, row, ids[key])
            for record, row, (first, *_), key in zip(records, rows, keys, found, strict=True)
        ]

    def _rows(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[Key, int]]:
        """The records' rows, and the ids of existing rows of their runs and, unless they are saved, with their md5s."""
        md5s = [md5_of(record) for record in records]
        known = look_up(self._connection, records, () if self._store_type == "save" else md5s)
        rows = []
        for record, md5 in zip(records, md5s, strict=True):
            software = known["software_infos", name_of(record.soft_info)]
            hardware = known["hardware_infos", name_of(record.hard_info)]
            model = known["models", record.model]
            ids = {"model_id": model.id, "soft_info_id": software.id, "hard_info_id": hardware.id}
            rows.append({**row_of(record, md5, software.detail, hardware.detail), **ids})
        return rows, {key: row.id for key, row in known.items() if row.kind in ("run", "md5")}

    def _keys(self, record: Record, row: dict[str, Any]) -> list[Key]:
        """What may find the record's existing row; the first that does, counts."""
        keys = [] if record.run_id is None else [("run", record.run_id)]
        if self._store_type != "save":
            return [*keys, ("md5", row["md5"])]
        return keys or [_content_key(row)]  # a row equal to that of a run has its run id

    def _insert(self, rows: list[dict[str, Any]]) -> Sequence[int]:
        """Insert rows. Returns their ids."""
        if not rows:
            return []
        now = datetime.now(timezone.utc)
        values = [{**row, "visible": False, "create_at": now, "update_at": now} for row in rows]
        if len(values) == 1:
            return list(self._connection.execute(INSERT_ONE, values[0]).inserted_primary_key or ())
        if self._connection.dialect.name == "postgresql":  # there, RETURNING makes many rows three times as slow
            ids = self._connection.scalars(NEW_IDS, {"count": len(values)}).all()
            if None not in ids:  # else the ids come from no sequence, unlike in the original's table
                numbered = [{"id": number, **row} for number, row in zip(ids, values, strict=True)]
                self._connection.execute(INSERT_ONE, numbered)
                return ids
        return self._connection.scalars(INSERT, values).all()

    def _leave_or_update(self, record: Record, row: dict[str, Any], there: int) -> Stored:
        """What becomes of a record whose row exists."""
        if self._store_type == "update":
            values = {**row, "update_at": datetime.now(timezone.utc), "number": there}
            self._connection.execute(UPDATE, values)
            return Stored(there, "updated")
        equal = record.run_id is None or self._store_type != "save"
        return Stored(there, "already there", () if equal else self._differences(record, row, there))

    def _differences(self, record: Record, row: dict[str, Any], there: int) -> tuple[str, ...]:
        """The record's keys in which an existing row has other content; none if both have one hash, and it holds."""
        found = self._connection.execute(BY_ID, {"number": there}).mappings().one()
        new, old = _content(row), _content(dict(found))
        extras = [dict(one["extra"] or {}) for one in (new, old)]  # both name the run
        seals = [extra.pop(HASH_KEY, None) for extra in extras]
        for extra in extras:
            extra.pop(SCHEMA_KEY, None)  # an earlier gbench may have stored it
        if seals[0] == seals[1] is not None and seal_holds(record):
            return ()
        new["extra"], old["extra"] = extras
        return tuple(key for column, key in KEYS.items() if _dumped(new[column]) != _dumped(old[column]))


def _found(keys: Iterable[list[Key]], ids: Mapping[Key, int]) -> list[Key | None]:
    """The key that finds each record's row: one that exists, or that of an earlier one of these records."""
    found: list[Key | None] = []
    before: set[Key] = set()
    for of_record in keys:
        found.append(next((key for key in of_record if key in ids or key in before), None))
        if found[-1] is None:
            before.update(of_record)
    return found


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    """All columns except NOT_CONTENT; equal for figures with their unit in one text and as two values."""
    values = {column.name: row[column.name] for column in train_results.c if column.name not in NOT_CONTENT}
    if isinstance(values["performance"], dict):
        values["performance"] = figures_as_numbers(values["performance"])
    return values


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _content_key(row: Mapping[str, Any]) -> Key:
    return "content", hashlib.sha256(_dumped(_content(row)).encode()).hexdigest()
