"""Connect to a database to read or write: PostgreSQL, or a SQLite file.

One writer at a time: a writing transaction holds PostgreSQL's advisory lock, or SQLite's own write lock, from its first
statement to its end, so that what it reads stays valid until it has written. The original's tool ignores this lock, and
is not blocked by it.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from gbench.base.files import make_folder
from gbench.cndb.database_config import DatabaseConfig
from gbench.errors import InfrastructureError

LOCK = 0x67626E6368  # "gbnch": the advisory lock of gbench's writers
CONNECT_S = 10
SQL_LOG = logging.getLogger("sqlalchemy.engine.Engine")
STATEMENT_S = 60  # timeout of a statement


class Patient(sqlite3.Connection):
    """A SQLite connection that waits for a lock in Python, so that Ctrl-C ends the wait; its own wait is in C."""

    def cursor(self, *arguments: Any) -> Any:
        return super().cursor(PatientCursor)

    def commit(self) -> None:
        _unlocked(super().commit)


class PatientCursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> Any:
        return _unlocked(super().execute, *arguments)

    def executemany(self, *arguments: Any) -> Any:
        return _unlocked(super().executemany, *arguments)


SQLITE = {"timeout": 0.1, "factory": Patient}


def _unlocked(call: Callable[..., Any], *arguments: Any) -> Any:
    """`call`, repeated for STATEMENT_S while the database is locked; a locked one has changed nothing."""
    deadline = time.monotonic() + STATEMENT_S
    while True:
        try:
            return call(*arguments)
        except sqlite3.OperationalError as error:
            if str(error) != "database is locked" or time.monotonic() > deadline:
                raise


def connect(config: DatabaseConfig) -> Engine:
    """An engine for an existing database. Raises InfrastructureError: it does not exist, or does not answer."""
    engine = _engine(config)
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).is_file():
        raise InfrastructureError(f"there is no database {config.shown} yet", "gbench cndb submit RECORD creates it")
    with database_errors(config), engine.connect():
        return engine


def connect_or_create(config: DatabaseConfig) -> Engine:
    """An engine for a database, created if it is missing. Raises InfrastructureError."""
    engine = _engine(config)
    if engine.dialect.name == "sqlite":
        make_folder(Path(str(engine.url.database)).parent)
        return engine
    with database_errors(config):
        try:
            with engine.connect():
                return engine
        except DBAPIError as error:
            if not _is_missing(error.orig):
                raise
        maintenance = make_url(config.uri).set(database="postgres")
        with create_engine(maintenance, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
            name = connection.dialect.identifier_preparer.quote_identifier(str(engine.url.database))
            with suppress(DBAPIError):  # another process may have just created it; if not, the next line fails
                connection.exec_driver_sql(f"CREATE DATABASE {name}")  # text() would read :x as a parameter
        with engine.connect():
            return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds gbench's write lock; committed at its end, rolled back by an exception."""
    with engine.connect().execution_options(gbench_writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection


@contextmanager
def database_errors(config: DatabaseConfig) -> Iterator[None]:
    """Convert a driver's exceptions into one sentence without a password. Raises InfrastructureError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InfrastructureError(
            f"database {config.shown}: the PostgreSQL driver is not installed", "pip install 'gbench[postgres]'"
        ) from error
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        # `from None`: the chained exception would show the connection's parameters
        raise InfrastructureError(f"database {config.shown}: {config.redact(lines[0])}", _hint(config, cause)) from None


def _hint(config: DatabaseConfig, cause: object) -> str:
    on_sqlite = make_url(config.uri).get_backend_name() == "sqlite"
    if _is_missing(cause):
        return "gbench cndb submit RECORD creates it"
    if getattr(cause, "sqlstate", None) == "42P01" or (on_sqlite and str(cause).startswith("no such table")):
        return "gbench cndb submit RECORD creates its tables"
    if on_sqlite:
        return "check that it is a SQLite file that you may write, and that its disk has space"
    return "check that it runs, and that its config is right"


def _is_missing(cause: object) -> bool:
    """Whether a connection failed because the database does not exist; libpq reports that as a message only."""
    return getattr(cause, "sqlstate", None) == "3D000" or (
        'database "' in str(cause) and "does not exist" in str(cause)
    )


def _engine(config: DatabaseConfig) -> Engine:
    if config.verbose and not SQL_LOG.handlers:
        SQL_LOG.addHandler(logging.StreamHandler())  # to stderr; SQLAlchemy's own handler writes to stdout
    url = make_url(config.uri)
    # No connection pool: a command-line tool uses one connection at a time.
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, echo=config.verbose, poolclass=NullPool, connect_args=SQLITE, json_serializer=_json)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = STATEMENT_S * 1000
    arguments = {
        "connect_timeout": CONNECT_S,
        "application_name": "gbench",
        "options": f"-c timezone=UTC -c statement_timeout={milliseconds}",
        "tcp_user_timeout": milliseconds,  # a server that vanished silently
        **url.query,
    }
    with database_errors(config):
        return create_engine(
            url.set(query={}),
            echo=config.verbose,
            poolclass=NullPool,
            connect_args=arguments,
            json_serializer=_json,
            isolation_level="READ COMMITTED",  # after waiting for the lock, a writer must see the latest data
        )


def _json(value: Any) -> str:
    """JSON text. A record has been checked: it holds no other values."""
    return to_json(value, inf_nan_mode="constants").decode()


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("gbench_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
