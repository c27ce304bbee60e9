"""Upload a run's record to a database exactly once, whatever fails on the way.

Before the database is touched an entry is in the spool (`CNDB_DIR/spool`); it goes when the database has committed.
So a database that is down, or a process that dies in between, leaves the entry, and `gbench cndb submit --pending`
sends it later. A run that was stored in spite of this is recognised by its run id, and not stored twice.
"""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gbench.base.files import make_folder, write_atomically
from gbench.cndb.database_config import DatabaseConfig, find_config
from gbench.cndb.record import Record, checked
from gbench.cndb.record_file import read_record
from gbench.errors import InfrastructureError, RecordError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gbench.cndb.store import Stored

SPOOL = "spool"
VERSION = 1
DEADLINE_S = 120.0  # for one record; a database that is slower counts as down


@dataclass(frozen=True)
class Pending:
    """A record that waits for its database. path: its spool entry; None if the spool could not be written."""

    path: Path | None
    database: str
    store_type: str
    record: Record


def queue(cndb_dir: Path, record: Record, config: DatabaseConfig, store_type: str) -> Pending:
    """Put a run's record into the spool. Raises InfrastructureError where that can't be written."""
    run_id = record.run_id
    assert run_id is not None, "only a run's record is queued"
    folder = cndb_dir / SPOOL
    make_folder(folder)
    path = folder / f"{run_id}@{Path(config.name).stem}.json"
    values = {"version": VERSION, "database": config.name, "store_type": store_type, "record": record.model_dump()}
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return Pending(path, config.name, store_type, record)


def waiting(cndb_dir: Path) -> list[Path]:
    """The entries of the spool, the oldest run first."""
    return sorted((cndb_dir / SPOOL).glob("*.json"))


def read_entry(path: Path) -> Pending | None:
    """One entry of the spool; None if another process has just sent it.

    Raises:
        RecordError: it is broken, or of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']}")
        return Pending(path, values["database"], values["store_type"], checked(values["record"], str(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no spool entry of this gbench ({error})", "submit its record file by hand, then remove it"
        ) from error


class Target:
    """A database to store in, created and migrated with the first record.

    Attributes:
        down: it could not be prepared. warning: that of `gbench.cndb.schema.upgrade`, once it is.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.down = False
        self.warning: str | None = None
        self._engine: Engine | None = None

    def store(self, records: Iterable[Record], store_type: str) -> list[Stored]:
        """Store records.

        Raises:
            InfrastructureError: the database is down, refuses, or broke off.
        """
        from gbench.cndb.database import database_errors
        from gbench.cndb.schema import prepared
        from gbench.cndb.store import submit

        with database_errors(self.config):
            if self._engine is None:
                self.down = True
                self._engine, self.warning = prepared(self.config)
                self.down = False
            engine, self._engine = self._engine, None  # after a failure it is prepared again
            stored = submit(engine, records, store_type)
            self._engine = engine
            return stored


def send(entry: Pending, target: Target) -> str:
    """Store a queued record and take it out of the spool; returns what became of it.

    Raises:
        InfrastructureError: the database did not take it in DEADLINE_S; the entry stays.
    """
    with _deadline(target.config):
        [stored] = target.store([entry.record], entry.store_type)
    if entry.path is not None:
        entry.path.unlink(missing_ok=True)  # another one may have sent it at the same time
    return f"record {stored.id} {stored.action}"


def deliver(
    record_path: Path, cndb_dir: Path, config: DatabaseConfig, warn: Callable[[str], None]
) -> tuple[str | None, str | None]:
    """A run's record, which is on disk, to its database, by way of the spool.

    Returns:
        What became of it; or why the database did not take it, and the command that sends it later. Never both.
    """
    record, target = read_record(record_path), Target(config)
    later = ["--pending"]
    try:
        entry = queue(cndb_dir, record, config, "save")
    except InfrastructureError as error:  # the record's file exists in any case
        warn(f"warning: {error}")
        entry, later = Pending(None, config.name, "save", record), [str(record_path), "--db", config.name]
    try:
        action = send(entry, target)
    except InfrastructureError as error:
        return None, f"{error}; later: gbench cndb submit {shlex.join([*later, '--cndb-dir', str(cndb_dir)])}"
    if target.warning is not None:
        warn(f"warning: database {config.shown}: {target.warning}")
    return f"{action} in {config.shown}", None


def config_of_run(database: str, cndb_dir: Path, environ: Mapping[str, str]) -> DatabaseConfig:
    """The database that a launch uploads to.

    Raises:
        UsageError: no such config, or one that asks to drop everything first: nobody is asked during a launch.
    """
    config = find_config(database, cndb_dir, environ)
    if config.rebuild:
        raise UsageError(
            f"database config {database} says `rebuild: 1`, which would drop all records",
            "set `rebuild: 0`; to rebuild, use gbench cndb submit --yes",
        )
    return config


@contextmanager
def _deadline(config: DatabaseConfig) -> Iterator[None]:
    """Raises InfrastructureError in here after DEADLINE_S: a server that hangs answers no timeout of its own."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise InfrastructureError(
            f"database {config.shown} did not answer within {DEADLINE_S:g} s", "check what blocks it"
        )

    before: Any = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
