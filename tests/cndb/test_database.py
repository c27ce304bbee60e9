"""Waiting for a locked SQLite database; what is said of a database that fails."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from support import Answer

from drawn_records import record
from gbench.cndb.database import REMEDIES, SilentDatabase, connect, database_errors, timed_out
from gbench.cndb.database_config import DatabaseConfig, embedded
from gbench.cndb.queries import RecordFilter, entries
from gbench.cndb.upload import Target
from gbench.errors import InfrastructureError
from golden import check_golden


@pytest.fixture
def locked(tmp_path: Path) -> sqlite3.Connection:
    """A connection that holds the exclusive lock of the database in tmp_path, which has one record."""
    Target(embedded(tmp_path)).store([record(run_id="r1")], "save")
    other = sqlite3.connect(tmp_path / "cndb.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_signal_is_handled_while_sqlite_is_locked(tmp_path: Path, locked: sqlite3.Connection) -> None:
    """Its handler releases the lock: a wait in C would never run it."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        locked.rollback()

    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        with closing(locked):
            signal.setitimer(signal.ITIMER_REAL, 1)
            [stored] = Target(embedded(tmp_path)).store([record(run_id="r2")], "save")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stored.action == "inserted"


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@pytest.fixture
def endless(tmp_path: Path) -> DatabaseConfig:
    """A database whose table of models is a view: the first row comes at once, and a second one never."""
    Target(embedded(tmp_path)).store([record(run_id="r1")], "save")
    with closing(sqlite3.connect(tmp_path / "cndb.sqlite")) as stranger:
        stranger.execute("ALTER TABLE models RENAME TO m")
        stranger.execute(f"CREATE VIEW models AS {ENDLESS} SELECT m.* FROM m, n WHERE i < 2 OR i < 0")
    return embedded(tmp_path)


def test_a_statement_without_end_is_given_up_at_the_deadline(endless: DatabaseConfig) -> None:
    hurried = replace(endless, deadline_s=0.5)
    with (
        pytest.raises(SilentDatabase, match=r"no answer within 0\.5 s; see whether its tables"),
        database_errors(hurried),
    ):
        entries(connect(hurried), RecordFilter())


def test_a_signal_ends_a_statement(endless: DatabaseConfig) -> None:
    """SQLite drops the exception of its handler."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1)
        with pytest.raises(KeyboardInterrupt):
            entries(connect(endless), RecordFilter())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


DEEP, FIGURES = '{"a":' * 5000 + "1" + "}" * 5000, '{"throughput": {"a": 1}, "throughput_interval": 3}'
STRANGE = (b"\x00\xff", 10**18, "x", DEEP, "[1]", FIGURES)
READERS = (("report", "--history"), ("cndb", "list"), ("cndb", "show", 1), ("cndb", "export"))
COLUMNS = {  # `extra` has an index, so it is JSON
    "train_results": ("create_at", "update_at", "metrics", "performance", "hyper_params", "tags", "batch_size"),
    "hardware_infos": ("detail",),
    "gbench_summary": ("throughput", "low", "run_time"),
}


@pytest.mark.parametrize(("table", "column"), [(table, one) for table, those in COLUMNS.items() for one in those])
def test_a_column_of_sqlite_may_hold_anything(
    gbench: Callable[..., Answer], tmp_path: Path, table: str, column: str
) -> None:
    """None of it is a bug of gbench, whatever reads it."""
    Target(embedded(tmp_path)).store([record(run_id="r1"), record(run_id="r2")], "save")
    before = (tmp_path / "cndb.sqlite").read_bytes()
    for value in STRANGE:
        (tmp_path / "cndb.sqlite").write_bytes(before)
        with closing(sqlite3.connect(tmp_path / "cndb.sqlite")) as stranger, stranger:
            for (trigger,) in stranger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                stranger.execute(f"DROP TRIGGER {trigger}")
            stranger.execute(f"UPDATE {table} SET {column} = ?", (value,))
        for verb in READERS:
            answer = gbench(*verb, "--cndb-dir", tmp_path)
            assert answer.code in (0, 1, 4), (value, verb, answer.err)


class ServerError(Exception):
    """An error of PostgreSQL's driver."""

    def __init__(self, sqlstate: str | None, text: str = "it says\nwhy") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def test_each_failure_has_its_sentence() -> None:
    server = DatabaseConfig("lab", "postgresql+psycopg://me:secret@db1:5433/runs")
    file = DatabaseConfig("embedded", "sqlite:////home/me/cndb.sqlite")
    states = [f"{state}000"[:5] for state in (*REMEDIES, "3D000", "42P01", "XX000")]
    failures: list[tuple[DatabaseConfig, Exception]] = [(server, ServerError(state)) for state in states]
    failures += [
        (server, ServerError(None, text))
        for text in ("", 'FATAL:  database "runs" does not exist', "no password secret in sight", "no such table: x")
    ]
    failures += [
        (file, sqlite3.OperationalError(text))
        for text in ("no such table: models", "database is locked", "unable to open database file")
    ]
    said = []
    for config, cause in failures:
        error = DBAPIError("SELECT 1", {}, cause)
        with pytest.raises(InfrastructureError) as caught, database_errors(config):
            raise error
        state = getattr(cause, "sqlstate", None) or "no state"
        said.append(f"{state}{', out of time' if timed_out(error) else ''}: {caught.value}\n")
    with pytest.raises(InfrastructureError) as caught, database_errors(server):
        raise SQLAlchemyError("of its own")
    said.append(f"{caught.value}\n")
    with pytest.raises(InfrastructureError) as caught, database_errors(server):
        raise ModuleNotFoundError("psycopg")
    said.append(f"{caught.value}\n")
    check_golden("database-errors.txt", "".join(said))
