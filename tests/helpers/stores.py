"""A database for the cases of the store, and plain SQL on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.record import Record
from gbench.cndb.schema import upgrade
from gbench.cndb.store import submit


def sql(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a plain SQL query, without gbench's own code."""
    with engine.begin() as connection:
        result = connection.execute(text(query), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def count(engine: Engine, table: str) -> int:
    return int(sql(engine, f"SELECT count(*) FROM {table}")[0][0])


def made(database: DatabaseConfig) -> Engine:
    """The database as `submit` creates it."""
    engine = connect_or_create(database)
    assert upgrade(engine) is None
    return engine


def store(engine: Engine, record: Record, store_type: str) -> tuple[int, str]:
    (stored,) = submit(engine, [record], store_type)
    return stored.id, stored.action


class Cases:
    """Base of all cases. `database` (defined by the test module) does not exist yet; `engine` creates it."""

    @pytest.fixture
    def engine(self, database: DatabaseConfig) -> Iterator[Engine]:
        engine = made(database)
        yield engine
        engine.dispose()
