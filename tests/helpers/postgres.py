"""A PostgreSQL server for the tests, which create, start, stop and delete it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

USER, PASSWORD = "golden", "s3cret-Wort"


class Postgres:
    """One server with its own folder, accessible over TCP with a password."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(password_file, "postgres", "postgres")
        self._server("initdb", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password_file}", "--no-sync")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._server("pg_ctl", "--wait", f"--log={self.folder / 'log'}", f"--options={options}", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` closes connections cleanly, `immediate` simulates a crash."""
        self._server("pg_ctl", "--wait", f"--mode={mode}", "stop")

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables for PostgreSQL's own programs."""
        return {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": USER,
            "PGPASSWORD": PASSWORD,
        }

    def config(self, database: str) -> dict[str, object]:
        """The keys of a database config file, without the password."""
        return {"schema": "postgresql", "user": USER, "host": "127.0.0.1", "port": self.port, "database": database}

    def uri(self, database: str) -> str:
        """The database's URI, including the password."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{quote(database)}"

    def query(self, database: str, sql: str) -> list[tuple[object, ...]]:
        """The rows of a query, through PostgreSQL's client library."""
        with psycopg.connect(self.uri(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str, dump: str = "") -> None:
        """Create a database, from a dump if given."""
        self.query("postgres", f'CREATE DATABASE "{database}"')
        if dump:
            command = ["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={database}"]
            subprocess.run(command, input=dump, env=self.environ, check=True, capture_output=True, text=True)

    def drop(self, database: str) -> None:
        """Drop a database."""
        self.query("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def schema(self, database: str) -> list[str]:
        """The lines of `pg_dump --schema-only`, without comments and empty lines."""
        command = ["pg_dump", "--schema-only", "--no-owner", database]
        done = subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True)
        lines = (line.rstrip() for line in done.stdout.splitlines())
        return [line for line in lines if line and not line.startswith(("--", "\\"))]

    def _server(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self.folder / 'data'}", *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        with (self.folder.parent / f"{self.folder.name}-{program}.log").open("wb") as log:  # a pipe would stay open
            subprocess.run(command, check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")


@contextmanager
def served() -> Iterator[Postgres]:
    """A running server."""
    parent = Path(tempfile.mkdtemp(prefix="gbench-postgres-"))  # short: a socket's path has 107 characters
    parent.chmod(0o755)
    folder = parent / "pg"
    folder.mkdir()
    server = Postgres(folder)
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(parent)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server; a test that stops it starts it again."""
    with served() as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
