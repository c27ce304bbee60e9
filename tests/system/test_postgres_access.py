"""Connecting to and creating a database: sources of passwords, unusual names, users with few privileges."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError

from drawn_records import drawn, of_run
from gbench.cndb.database import LOCK, connect, connect_or_create, database_errors, writing
from gbench.cndb.database_config import DatabaseConfig, parse_config
from gbench.cndb.queries import RecordFilter, entries
from gbench.cndb.schema import upgrade
from gbench.errors import InfrastructureError
from postgres import PASSWORD, USER, Postgres
from stores import count, made, store
from submitters import RECORDS, submit_together

pytestmark = pytest.mark.system

NAME = "access"
Config = Callable[..., DatabaseConfig]


@pytest.fixture
def config(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """A config of the test server, by the keys of a file; the databases that it named are dropped at the end."""
    for variable in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.pgpass
    named = []

    def make(**changes: Any) -> DatabaseConfig:
        values = {**postgres.config(NAME), **changes}
        config = parse_config(values, "test", "test.yaml", tmp_path, {"SECRET": PASSWORD})
        named.append(str(make_url(config.uri).database))
        return config

    yield make
    for name in named:
        with psycopg.connect(postgres.uri("postgres"), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(psycopg.sql.Identifier(name))
            )


def user(postgres: Postgres, name: str) -> dict[str, str]:
    """Config keys of a new user without privileges."""
    postgres.query("postgres", f"DROP ROLE IF EXISTS {name}")
    postgres.query("postgres", f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    return {"user": name, "passwd": PASSWORD}


def test_the_password_of_the_config_file(config: Config) -> None:
    made(config(passwd=PASSWORD))


def test_a_password_from_a_variable_of_the_config_file(config: Config) -> None:
    made(config(passwd="${SECRET}"))


def test_pgpassword(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    made(config())


@pytest.mark.parametrize("place", ["PGPASSFILE", "~/.pgpass"])
def test_a_password_file(
    config: Config, place: str, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("passwords" if place == "PGPASSFILE" else ".pgpass")
    path.write_text(f"127.0.0.1:{postgres.port}:*:{USER}:{PASSWORD}\n")
    path.chmod(0o600)
    if place == "PGPASSFILE":
        monkeypatch.setenv("PGPASSFILE", str(path))
    made(config())


def test_no_password_is_told_in_one_sentence(config: Config) -> None:
    with pytest.raises(InfrastructureError, match="no password supplied") as error:
        connect_or_create(config())
    assert "\n" not in str(error.value)


def test_a_wrong_password_is_told_without_it(config: Config, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InfrastructureError, match="password authentication failed") as error:
        connect_or_create(config(passwd="wrong-Wort"))
    said = str(error.value)
    assert "\n" not in said
    out = capfd.readouterr()
    assert "wrong-Wort" not in said + repr(error.value.__cause__) + out.out + out.err


def test_no_password_in_anything_shown_not_even_verbose(config: Config, capfd: pytest.CaptureFixture[str]) -> None:
    engine = made(config(passwd=PASSWORD, verbose=1))
    store(engine, drawn(), "save")
    out = capfd.readouterr()
    assert "INSERT INTO train_results" in out.out + out.err
    assert PASSWORD not in out.out + out.err + repr(engine) + str(engine.url) + repr(config(passwd=PASSWORD))


def test_a_server_that_is_down_is_told_in_one_sentence(config: Config, postgres: Postgres) -> None:
    postgres.stop()
    try:
        with pytest.raises(InfrastructureError, match=f"database {NAME} on 127.0.0.1:{postgres.port}: ") as error:
            connect_or_create(config(passwd=PASSWORD))
    finally:
        postgres.start()
    assert "\n" not in str(error.value)
    assert PASSWORD not in str(error.value)


def test_a_missing_database_fails_reads_and_is_made_by_writes(config: Config, postgres: Postgres) -> None:
    with pytest.raises(InfrastructureError, match="does not exist"):
        connect(config(passwd=PASSWORD))
    connect_or_create(config(passwd=PASSWORD))
    assert postgres.query("postgres", f"SELECT count(*) FROM pg_database WHERE datname = '{NAME}'") == [(1,)]


@pytest.mark.parametrize(
    "name",
    ["Mixed Case", 'quo"ted', "100% a:b", "a%sb", "%(x)s", "o'clock", "a;b", "né", "select", "a?b#c", "a%41", "-x"],
)
def test_a_database_of_any_name_is_made(config: Config, postgres: Postgres, name: str) -> None:
    there = config(passwd=PASSWORD, database=name)
    engine = made(there)
    assert store(engine, drawn(), "save") == (1, "inserted")
    assert there.shown == f"{name} on 127.0.0.1:{postgres.port}"
    with psycopg.connect(postgres.uri("postgres")) as connection:
        found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [name]).fetchone()
    assert found == (1,)


def test_a_user_who_may_not_make_databases_is_told_why(config: Config, postgres: Postgres) -> None:
    why = r"database access on .* does not exist, and can't be created \(permission denied to create database\)"
    with pytest.raises(InfrastructureError, match=f"{why}; create it as a user who may: createdb access$"):
        connect_or_create(config(**user(postgres, "maker")))


def test_two_make_the_database_at_once(config: Config) -> None:
    """Eight, in fact: `submit_together` finds no database."""
    assert submit_together(config(passwd=PASSWORD), "save", of_runs=True)["inserted"] == RECORDS


# databases that others set up in their own way


def listed(config: DatabaseConfig) -> list[str | None]:
    """The models in a database, by its own way to read them."""
    with database_errors(config):
        return [entry.model for entry in entries(connect(config), RecordFilter())]


def test_a_database_of_encoding_sql_ascii(postgres: Postgres, config: Config) -> None:
    there = config(passwd=PASSWORD)
    postgres.query(
        "postgres", f"CREATE DATABASE {NAME} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    store(made(there), drawn(model="modèle"), "save")
    assert listed(there) == ["modèle"]
    with psycopg.connect(postgres.uri(NAME), autocommit=True) as connection:
        connection.execute(b"UPDATE models SET name = E'mod\\xe8le'")
    with pytest.raises(InfrastructureError, match=r'"UTF8": 0xe8 .*restore a dump of it into .* UTF8'):
        listed(there)


@pytest.mark.parametrize("place", ["database", "variable"])
def test_dates_in_another_style(
    postgres: Postgres, config: Config, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = config(passwd=PASSWORD)
    store(made(there), drawn(model="a"), "save")
    if place == "database":
        postgres.query("postgres", f"ALTER DATABASE {NAME} SET datestyle = 'German, DMY'")
        postgres.query("postgres", f"ALTER DATABASE {NAME} SET timezone = 'Asia/Tokyo'")
    else:
        monkeypatch.setenv("PGDATESTYLE", "German, DMY")
        monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    (entry,) = entries(connect(there), RecordFilter())
    assert entry.stored is not None and entry.stored.utcoffset() == timedelta(0)
    assert store(made(there), drawn(model="b"), "save")[1] == "inserted"


def test_options_of_the_environment_change_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    there = config(passwd=PASSWORD)
    store(made(there), drawn(model="a"), "save")
    assert listed(there) == ["a"]


def test_what_a_connection_and_its_transactions_are_set_to(config: Config) -> None:
    """So that a server that vanishes, or a statement that is blocked, is noticed within the deadline of 12 s."""
    there = replace(config(passwd=PASSWORD), deadline_s=12.0)
    engine = made(there)
    with engine.connect() as connection:
        assert connection.connection.driver_connection is not None
        given = connection.connection.driver_connection.info.get_parameters()
    wanted = {"application_name": "gbench", "client_encoding": "utf8", "connect_timeout": "4"}
    wanted |= {"keepalives_idle": "6", "keepalives_interval": "3", "keepalives_count": "3", "tcp_user_timeout": "12000"}
    assert wanted.items() <= given.items()
    names = ("timezone", "datestyle", "transaction_isolation", "lock_timeout", "statement_timeout")
    names += ("idle_in_transaction_session_timeout",)

    def settings(connection: Connection) -> list[str]:
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    with engine.connect() as connection:
        reading = settings(connection)
    with writing(engine) as connection:
        submitting = settings(connection)
        locks = "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert connection.exec_driver_sql(locks).scalars().all() == [LOCK & 0xFFFFFFFF]
    with writing(engine, migrates=True) as connection:
        migrating = settings(connection)
    common = ["UTC", "ISO, YMD", "read committed", "10800ms"]
    assert reading == [*common, "10800ms", "0"]
    assert submitting == [*common, "10800ms", "10800ms"]
    assert migrating == [*common, "0", "10800ms"]


def test_a_uri_of_several_hosts(postgres: Postgres, config: Config) -> None:
    """By SQLAlchemy's form, `host=` once a server: the first that answers is taken."""
    hosts = f"host=127.0.0.1:1&host=127.0.0.1:{postgres.port}"
    there = config(uri=f"postgresql://{USER}:{PASSWORD}@/{NAME}?{hosts}", **dict.fromkeys(postgres.config(NAME)))
    store(made(there), drawn(model="a"), "save")
    assert listed(there) == ["a"]


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_behind_pgbouncer(postgres: Postgres, config: Config, mode: str) -> None:
    postgres.create(NAME)
    folder = Path(tempfile.mkdtemp(prefix="gbench-bouncer-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "bouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port} user={USER} password={PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n"
        "unix_socket_dir =\n"
    )
    if os.geteuid() == 0:  # it refuses to run as root
        for path in (folder, folder / "bouncer.ini"):
            shutil.chown(path, "postgres", "postgres")
    bouncer = subprocess.Popen(
        ["pgbouncer", *(["-u", "postgres"] if os.geteuid() == 0 else []), "-q", str(folder / "bouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        there = config(passwd=PASSWORD, port=port)
        for number in range(12):  # a statement that comes often would be prepared, on one of the server's connections
            store(eventually_made(there), drawn(model=f"m{number}"), "save")
        assert len(listed(there)) == 12
    finally:
        bouncer.terminate()
        bouncer.wait(timeout=300)
        shutil.rmtree(folder)


def eventually_made(config: DatabaseConfig) -> Engine:
    """As `made`, when a pooler that has just been started answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return made(config)
        except InfrastructureError as error:
            if "refused" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


# users with few rights on a database that others made


@pytest.fixture
def original(postgres: Postgres, contract_ddl: str, config: Config) -> DatabaseConfig:
    """A database of the original's tool, as its owner reaches it."""
    there = config(passwd=PASSWORD)
    postgres.create(NAME, contract_ddl)
    return there


def test_a_user_without_ddl_rights_submits_and_is_warned(
    original: DatabaseConfig, postgres: Postgres, config: Config
) -> None:
    rights = user(postgres, "writer")
    postgres.query(NAME, "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO writer")
    postgres.query(NAME, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer")
    before = postgres.schema(NAME)
    engine = connect_or_create(config(**rights))
    for _ in range(2):
        warning = upgrade(engine)
        assert warning is not None and "indexes and views" in warning
    for store_type, action in (("save", "inserted"), ("skip", "already there"), ("update", "updated")):
        assert store(engine, of_run("run-1"), store_type)[1] == action
    assert len(entries(engine, RecordFilter())) == 1 + 1  # the fixture's own row, too
    assert postgres.schema(NAME) == before

    made(original)  # the owner comes later, and adds what was missing, with no rights on it for the other
    upgrade(engine)
    assert store(engine, of_run("run-2"), "save")[1] == "inserted"
    assert len(entries(engine, RecordFilter())) == 3


def test_a_user_who_may_only_read_lists(original: DatabaseConfig, postgres: Postgres, config: Config) -> None:
    rights = user(postgres, "reader")
    postgres.query(NAME, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    store(made(original), drawn(), "save")
    there = config(**rights)
    engine = connect(there)
    assert len(entries(engine, RecordFilter(model="pix2pix-resnet_9blocks"))) >= 1
    with pytest.raises(InfrastructureError, match="permission denied for") as error, database_errors(there):
        store(engine, drawn(dev_num=4), "save")
    assert "\n" not in str(error.value)
    assert count(engine, "train_results") == 2


def test_an_empty_database_without_ddl_rights_is_an_error(postgres: Postgres, config: Config) -> None:
    rights = user(postgres, "guest")
    postgres.create(NAME)
    with pytest.raises(DBAPIError, match="permission denied for schema public"):
        upgrade(connect_or_create(config(**rights)))
