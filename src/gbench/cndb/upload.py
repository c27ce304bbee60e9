"""A run's record to a database, once and only once, whatever happens on the way.

Before the database is touched an entry is in the spool (`CNDB_DIR/spool`); it goes when the database has committed.
So a database that is down, or a process that dies in between, leaves the entry, and `gbench cndb submit --pending`
sends it later. A run that did get there in spite of it is told by its run id, and not stored twice.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gbench.cndb.config import DatabaseConfig, find_config
from gbench.cndb.record import Record, checked
from gbench.errors import InfrastructureError, RecordError, UsageError
from gbench.files import make_folder, write_atomically

if TYPE_CHECKING:
    from gbench.cndb.store import Stored

SPOOL = "spool"
VERSION = 1
DEADLINE_S = 120.0  # for one record; a database that is slower counts as down


@dataclass(frozen=True)
class Pending:
    """A record that waits for its database."""

    path: Path
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
    """One entry of the spool; None where another process has just sent it.

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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} is no spool entry of this gbench ({error})", "submit its record file by hand, then remove it"
        ) from error


def deliver(config: DatabaseConfig, records: Iterable[Record], store_type: str) -> tuple[list[Stored], str | None]:
    """Store records in a database that is made and brought up to date as needed, with the warning of `upgrade`.

    Raises:
        InfrastructureError: the database is down, refuses, or broke off.
    """
    from gbench.cndb.database import told
    from gbench.cndb.schema import prepared
    from gbench.cndb.store import submit

    with told(config):
        engine, warning = prepared(config)
        return submit(engine, records, store_type), warning


def send(entry: Pending, config: DatabaseConfig) -> tuple[str, str | None]:
    """Store a queued record and take it out of the spool; returns what became of it, and a warning if there is one.

    Raises:
        InfrastructureError: the database did not take it in DEADLINE_S; the entry stays.
    """
    with _deadline(config):
        [stored], warning = deliver(config, [entry.record], entry.store_type)
    entry.path.unlink(missing_ok=True)  # another one may have sent it at the same time
    return f"record {stored.id} {stored.action}", warning


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
            f"database {config.shown} did not answer within {DEADLINE_S:g} s", "see what holds it up"
        )

    before: Any = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
