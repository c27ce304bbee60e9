"""Waiting for a locked SQLite database."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest

from drawn_records import record
from gbench.cndb.database_config import embedded
from gbench.cndb.upload import Target


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
