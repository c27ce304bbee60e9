"""Connect to a database to read or write: PostgreSQL, or a SQLite file.

One writer at a time: a writing transaction holds PostgreSQL's advisory lock, or SQLite's own write lock, from its first
statement to its end, so that what it reads stays valid until it has written. The original's tool ignores this lock, and
is not blocked by it.
"""

import logging
import math
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from gbench.base.faults import as_expected
from gbench.base.files import make_folder
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.values import value_of_json
from gbench.errors import InfrastructureError
from gbench.settings.literals import DB_TIMEOUT_S

LOCK = 0x67626E6368  # "gbnch": the advisory lock of gbench's writers
SQL_LOG = logging.getLogger("sqlalchemy.engine.Engine")
HOSTS = ("host", "port")  # of several servers: SQLAlchemy gives them to the driver in its form
# Share of the deadline after which the server ends a statement, or a wait for a lock: it says why, if it is alive.
SERVERS_SHARE = 0.9
LONGER = "give it longer with --db-timeout"
SILENT = "08006"
TIMEOUTS = (SILENT, "55P03", "57014")
# What a server's SQLSTATE, or its first characters, says is to be done.
REMEDIES = {
    "08006": f"check that its server and the name service answer, or {LONGER}",
    "22021": "restore a dump of it into a database of encoding UTF8: it holds bytes of another, as SQL_ASCII allows",
    "28": "check user and password in its config",
    "42501": "grant the user that right, or take another user",
    "53100": "free space on its disk",
    "53300": "wait, or raise its max_connections",
    "55P03": f"see what blocks it in pg_stat_activity, or {LONGER}",
    "57014": f"see what blocks it in pg_stat_activity, or {LONGER}",
    "25006": "give a server that can be written, not a standby",
}


class SilentDatabase(InfrastructureError):
    """The server was silent, or the file locked, until the deadline."""


class Slow(sqlite3.OperationalError):
    """A statement took longer than the deadline. Its view may be a stranger's, and have rows without end."""


class Patient(sqlite3.Connection):
    """A SQLite connection that waits for a lock in Python, and whose statements end, at the deadline or by Ctrl-C."""

    deadline_s = DB_TIMEOUT_S
    until_s = math.inf
    migrates = False
    """Whether a statement may take longer than the deadline."""

    def cursor(self, *arguments: Any) -> Any:
        return super().cursor(PatientCursor)

    def commit(self) -> None:
        self.patiently(super().commit)

    def is_late(self) -> bool:
        """Whether SQLite must interrupt the statement: it asks every STEPS of its steps."""
        return time.monotonic() > self.until_s

    def patiently(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """`call`, repeated until the deadline while the database is locked; a locked one has changed nothing.

        Raises sqlite3.OperationalError: it is still locked; Slow. KeyboardInterrupt: a signal came, whose own exception
        SQLite has dropped.
        """
        deadline = time.monotonic() + self.deadline_s
        self.until_s = math.inf if self.migrates else deadline
        while True:
            try:
                return call(*arguments)
            except sqlite3.OperationalError as error:
                if str(error) == "interrupted":
                    if not self.is_late():
                        raise KeyboardInterrupt from error
                    raise Slow(f"no answer within {self.deadline_s:g} s") from error
                if str(error) != "database is locked" or time.monotonic() > deadline:
                    raise


class PatientCursor(sqlite3.Cursor):
    connection: Patient

    def execute(self, *arguments: Any) -> Any:
        return self.connection.patiently(super().execute, *arguments)

    def fetchone(self) -> Any:
        return self.connection.patiently(super().fetchone)

    def fetchmany(self, *arguments: Any) -> Any:
        return self.connection.patiently(super().fetchmany, *arguments)

    def fetchall(self) -> Any:
        return self.connection.patiently(super().fetchall)


SQLITE = {"timeout": 0.1, "factory": Patient}
STEPS = 100_000  # of SQLite's virtual machine: some milliseconds


def connect(config: DatabaseConfig) -> Engine:
    """An engine for an existing database. Raises InfrastructureError: it does not exist, or does not answer."""
    engine = _engine(config)
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
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
        maintenance = replace(config, uri=make_url(config.uri).set(database="postgres"))
        try:
            with _engine(maintenance).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                name = connection.dialect.identifier_preparer.quote_identifier(str(engine.url.database))
                connection.exec_driver_sql(f"CREATE DATABASE {name}")  # text() would read :x as a parameter
        except DBAPIError as error:
            if timed_out(error):
                raise
            try:
                with engine.connect():  # another process has just created it
                    return engine
            except DBAPIError:
                why = config.redact(_first_line(error.orig))
                raise InfrastructureError(
                    f"database {config.shown} does not exist, and can't be created ({why})",
                    f"create it as a user who may: createdb {shlex.quote(str(engine.url.database))}",
                ) from None
        with engine.connect():
            return engine


@contextmanager
def writing(engine: Engine, migrates: bool = False) -> Iterator[Connection]:
    """A transaction that holds gbench's write lock; committed at its end, rolled back by an exception.

    migrates: a statement may take longer than the deadline, as long as the server answers.
    """
    options = {"gbench_writes": True, "gbench_migrates": migrates}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def database_errors(config: DatabaseConfig) -> Iterator[None]:
    """Convert a driver's exceptions to one sentence without a password. Raises InfrastructureError, SilentDatabase."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InfrastructureError(
            f"database {config.shown}: the PostgreSQL driver is not installed", "pip install 'gbench[postgres]'"
        ) from error
    except UnicodeError as error:  # of the look-up of its host
        raise as_expected(error) or error from None
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        # `from None`: the chained exception would show the connection's parameters
        what = f"database {config.shown}: {config.redact(_first_line(cause))}"
        kind = SilentDatabase if _sqlstate(cause) == SILENT or _is_late(cause) else InfrastructureError
        raise kind(what, _hint(config, cause)) from None


def _first_line(cause: object) -> str:
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)


def _hint(config: DatabaseConfig, cause: object) -> str:
    on_sqlite = make_url(config.uri).get_backend_name() == "sqlite"
    if _is_missing(cause):
        return "gbench cndb submit RECORD creates it"
    state = _sqlstate(cause)
    if state == "42P01" or (on_sqlite and str(cause).startswith("no such table")):
        return "gbench cndb submit RECORD creates its tables"
    if _is_locked(cause):
        return f"wait for the process that writes to it, or {LONGER}"
    if isinstance(cause, Slow):
        return f"see whether its tables are gbench's, or {LONGER}"
    if on_sqlite:
        return "check that it is a SQLite file that you may write, and that its disk has space"
    for beginning, remedy in REMEDIES.items():
        if state.startswith(beginning):
            return remedy
    return "see its server's log" if state else "check that it runs, and that its config is right"


def timed_out(error: DBAPIError) -> bool:
    """Whether a call failed as the server was silent, or as something blocked it."""
    return _sqlstate(error.orig) in TIMEOUTS or _is_late(error.orig)


def _sqlstate(cause: object) -> str:
    return getattr(cause, "sqlstate", None) or ""


def _is_late(cause: object) -> bool:
    """Whether a SQLite file did not answer by the deadline."""
    return _is_locked(cause) or isinstance(cause, Slow)


def _is_locked(cause: object) -> bool:
    return isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)


def _is_missing(cause: object) -> bool:
    """Whether a connection failed because the database does not exist; libpq reports that as a message only."""
    return _sqlstate(cause) == "3D000" or ('database "' in str(cause) and "does not exist" in str(cause))


def _engine(config: DatabaseConfig) -> Engine:
    if config.verbose and not SQL_LOG.handlers:
        SQL_LOG.addHandler(logging.StreamHandler())  # to stderr; SQLAlchemy's own handler writes to stdout
    url = make_url(config.uri)
    # No connection pool: a command-line tool uses one connection at a time.
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            echo=config.verbose,
            poolclass=NullPool,
            connect_args=SQLITE,
            json_serializer=_json,
            json_deserializer=value_of_json,
        )
        event.listen(engine, "connect", partial(_prepare_sqlite, config.deadline_s))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {
        "application_name": "gbench",
        "client_encoding": "utf8",  # of a database of encoding SQL_ASCII the client would get bytes
        "options": "",  # not those of PGOPTIONS
        # of a server that vanished while it has nothing to send
        "keepalives_idle": ceil(config.deadline_s / 2),
        "keepalives_interval": 1 + int(config.deadline_s / 6),
        "keepalives_count": 3,
        "tcp_user_timeout": int(config.deadline_s * 1000),
        **{name: value for name, value in url.query.items() if name not in HOSTS},
    }
    with database_errors(config):
        engine = create_engine(
            url.set(query={name: value for name, value in url.query.items() if name in HOSTS}),
            echo=config.verbose,
            poolclass=NullPool,
            connect_args=arguments,
            json_serializer=_json,
        )
        event.listen(engine, "do_connect", partial(_connect_postgresql, config.deadline_s))
        event.listen(engine, "begin", partial(_begin_postgresql, config.deadline_s))
        return engine


def _json(value: Any) -> str:
    """JSON text. A record has been checked: it holds no other values."""
    return to_json(value, inf_nan_mode="constants").decode()


def _prepare_sqlite(deadline_s: float, connection: Patient, _: Any) -> None:
    connection.deadline_s = deadline_s
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    connection.set_progress_handler(connection.is_late, STEPS)
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    driver: Any = connection.connection.driver_connection
    driver.migrates = options.get("gbench_migrates", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("gbench_writes") else "BEGIN")


def _connect_postgresql(deadline_s: float, dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
    from gbench.cndb.deadline import connect

    return connect(parameters, deadline_s)


def _begin_postgresql(deadline_s: float, connection: Connection) -> None:
    """Begin with settings and lock, in one round trip.

    They are of each transaction: a pooler such as PgBouncer does not take all of them when a connection starts, and may
    change the server's connection between transactions. Dates are in ISO style whatever the server, the role or
    PGDATESTYLE prefers.
    """
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    # After waiting for the lock, a writer must see the latest data.
    isolation = "REPEATABLE READ" if options.get("gbench_one_state") else "READ COMMITTED"
    driver: Any = connection.connection.driver_connection
    driver.migrates = options.get("gbench_migrates", False)
    most = f"{deadline_s * SERVERS_SHARE * 1000:.0f}"
    settings = {"timezone": "UTC", "datestyle": "ISO, YMD", "lock_timeout": most}
    settings["statement_timeout"] = "0" if driver.migrates else most
    if options.get("gbench_writes"):
        settings["idle_in_transaction_session_timeout"] = most  # a writer that vanished must not keep the lock
    statements = [
        f"BEGIN ISOLATION LEVEL {isolation}",
        *(f"SET LOCAL {name} = '{value}'" for name, value in settings.items()),
    ]
    if options.get("gbench_writes"):
        statements.append(f"SELECT pg_advisory_xact_lock({LOCK})")
    connection.exec_driver_sql("; ".join(statements))
