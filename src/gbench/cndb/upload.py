"""Upload a run's record to a database exactly once, whatever fails.

First write an entry to the spool (`CNDB_DIR/spool`), then store the record, then delete the entry. If the database is
down or the process dies, the entry remains, and `gbench cndb submit --pending` sends it later. If the record was stored
nevertheless, its run id prevents a second row.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gbench.base import strict_json
from gbench.base.files import entries, is_there, make_folder, read_file, write_atomically
from gbench.base.invalid import first_problem
from gbench.cndb.database_config import DatabaseConfig, embedded_if_there, find_config
from gbench.cndb.record import Record, checked
from gbench.cndb.record_file import read_record
from gbench.errors import GbenchError, InfrastructureError, RecordError, UsageError
from gbench.settings.literals import DB_TIMEOUT_S

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gbench.cndb.store import Stored

T = TypeVar("T")
SPOOL = "spool"
VERSION = 1
KEYS = ("version", "database", "store_type", "record")  # of an entry


@dataclass(frozen=True)
class Pending:
    """A record that is not in its database yet."""

    path: Path | None
    """Its spool entry; None if the spool could not be written."""
    database: str
    store_type: str
    record: Record


def queue(cndb_dir: Path, record: Record, config: DatabaseConfig, store_type: str) -> Pending:
    """Write a run's record to the spool. Raises InfrastructureError: it can't be written."""
    run_id = record.run_id
    assert run_id is not None, "only a run's record is queued"
    folder = cndb_dir / SPOOL
    make_folder(folder)
    path = folder / f"{run_id}@{Path(config.name).stem}.json"
    values = {"version": VERSION, "database": config.name, "store_type": store_type, "record": record.model_dump()}
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return Pending(path, config.name, store_type, record)


def waiting(cndb_dir: Path) -> list[Path]:
    """The entries of the spool, oldest run first."""
    return entries(cndb_dir / SPOOL, "*.json")


def read_entry(path: Path) -> Pending | None:
    """Read an entry of the spool; None if another process has just sent it. Raises RecordError: it is broken."""
    try:
        values = strict_json.loads(read_file(path))
        if not isinstance(values, dict):
            raise ValueError("it is no mapping")
        if lacks := [key for key in KEYS if key not in values]:
            raise ValueError(f"it has no {lacks[0]}")
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']}")
        return Pending(path, values["database"], values["store_type"], checked(values["record"], str(path)))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not is_there(path):
            return None
        raise RecordError(
            f"{path} is no spool entry of this gbench ({first_problem(error)})",
            "submit its record file by hand, then remove it",
        ) from error


class Target:
    """A database to store records in; the first record creates and migrates it. One that was silent is not asked again.

    Attributes:
        down: whether that failed, or a call took too long. warning: of `gbench.cndb.schema.upgrade`, afterwards.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.down = False
        self.warning: str | None = None
        self._engine: Engine | None = None
        self._unasked: GbenchError | None = None

    def ask(self, question: Callable[[Engine], T]) -> T | None:
        """The answer to what a run can do without. None: the database fails, and is not asked such things any more."""
        from gbench.cndb.database import connect, database_errors

        if self._unasked is None:
            try:
                with database_errors(self.config):
                    return question(connect(self.config))
            except GbenchError as error:
                self._unasked = error
        return None

    def store(self, records: Iterable[Record], store_type: str) -> list[Stored]:
        """Store records. Raises InfrastructureError: the database failed."""
        from sqlalchemy.exc import DBAPIError

        from gbench.cndb.database import SilentDatabase, database_errors, timed_out
        from gbench.cndb.schema import prepared
        from gbench.cndb.store import submit

        if isinstance(self._unasked, SilentDatabase):
            raise self._unasked
        with database_errors(self.config):
            if self._engine is None:
                self.down = True
                self._engine, self.warning = prepared(self.config)
                self.down = False
            engine, self._engine = self._engine, None  # prepare it again after a failure
            try:
                stored = submit(engine, records, store_type)
            except DBAPIError as error:
                self.down = timed_out(error)
                raise
            self._engine = engine
            return stored


def send(entry: Pending, target: Target) -> str:
    """Store a queued record and remove it from the spool. Returns a description of what was done.

    Raises InfrastructureError: the database failed or did not answer; the entry remains.
    """
    [stored] = target.store([entry.record], entry.store_type)
    if entry.path is not None:
        entry.path.unlink(missing_ok=True)  # another process may have sent it at the same time
    return f"record {stored.id} {stored.action}" + (" with other content" if stored.differs else "")


def deliver(
    record_path: Path, cndb_dir: Path, target: Target, warn: Callable[[str], None]
) -> tuple[str | None, str | None]:
    """Send a run's record file to its database, through the spool.

    Returns:
        What was done, and None; or None, and why it failed with the command to send it later.
    """
    record, config = read_record(record_path), target.config
    later = ["--pending"]
    try:
        entry = queue(cndb_dir, record, config, "save")
    except InfrastructureError as error:  # try without the spool; the record's file exists
        warn(f"warning: {error}")
        entry, later = Pending(None, config.name, "save", record), [str(record_path), "--db", config.name]
    try:
        action = send(entry, target)
    except InfrastructureError as error:
        return None, f"{error}; later: gbench cndb submit {shlex.join([*later, '--cndb-dir', str(cndb_dir)])}"
    if target.warning is not None:
        warn(f"warning: database {config.shown}: {target.warning}")
    return f"{action} in {config.shown}", None


def history_of(target: Target | None, cndb_dir: Path) -> Target | None:
    """The database of the runs before a run: its own; without one, that in the CNDB folder, if it is there."""
    config = None if target else embedded_if_there(cndb_dir)
    return Target(config) if config else target


def config_of_run(
    database: str, cndb_dir: Path, environ: Mapping[str, str], deadline_s: float = DB_TIMEOUT_S
) -> DatabaseConfig:
    """The database that a launch uploads to. Raises UsageError: no such config, or one with `rebuild`."""
    config = replace(find_config(database, cndb_dir, environ), deadline_s=deadline_s)
    if config.rebuild:
        raise UsageError(
            f"database config {database} says `rebuild: 1`, which would drop all records",
            "set `rebuild: 0`; to rebuild, use gbench cndb submit --yes",
        )
    return config
