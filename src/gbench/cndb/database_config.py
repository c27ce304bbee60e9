"""Database configs: the original's config files (CNDB section 3), and SQLite by default.

A password comes from the file, or from a `${VARIABLE}` in it; without one, PostgreSQL's client library reads PGPASSWORD
or ~/.pgpass. Never print a password: `shown` is the printable form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from gbench.base import strict_json
from gbench.base.files import is_there, read_file
from gbench.base.invalid import no_boolean
from gbench.base.paths import expanded, project_file
from gbench.base.untrusted import ENCODING, NO_YAML, UNREADABLE, RepeatedKey, line_of, load_yaml, not_yaml
from gbench.errors import UsageError
from gbench.settings.literals import DB_TIMEOUT_S

if TYPE_CHECKING:
    from sqlalchemy import URL

# launch.sh's names for its databases, and their files
NAMES = {
    "gpu-performance": "gpu-golden-bench.yaml",
    "gpu-convergency": "gpu-golden-bench-convergency.yaml",
    "gpu-demo": "demo-db.yaml",
}
CONFIG_DIR = "demo/config"  # below CNDB_DIR
EMBEDDED_NAME, EMBEDDED_FILE = "embedded", "cndb.sqlite"  # below CNDB_DIR
VARIABLE = re.compile(r"\$\{(\w+)\}")
SHORT = 4  # characters of a password: a shorter one is only redacted where it stands alone


class _File(BaseModel):
    """The keys of a config file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    scheme: str | None = Field(None, alias="schema")
    user: str | None = None
    passwd: SecretStr | None = None
    host: str | None = None
    port: Annotated[int | None, BeforeValidator(no_boolean)] = Field(None, ge=1, lt=2**16)
    database: str | None = None
    verbose: bool = False
    rebuild: bool = False
    uri: SecretStr | None = None


@dataclass(frozen=True)
class DatabaseConfig:
    name: str
    """A known name, or the absolute path of its config file."""
    uri: URL | str = field(repr=False)
    """Includes the password. Use text only without special characters: SQLAlchemy before 2.1 can't parse all the URIs
    that it writes."""
    verbose: bool = False
    """Show the SQL."""
    rebuild: bool = False
    """Drop all its tables first."""
    deadline_s: float = DB_TIMEOUT_S
    """The longest wait for an answer of its server, or for another writer of a SQLite file."""

    @property
    def shown(self) -> str:
        """The printable form: no password, no options."""
        from sqlalchemy import make_url

        url = make_url(self.uri)
        if url.get_backend_name() == "sqlite":
            return str(url.database)
        hosts = url.query.get("host") or url.host or "localhost"
        place = hosts if isinstance(hosts, str) else ", ".join(hosts)
        place += f":{url.port}" if url.port else ""
        return f"{url.database} on {place}"

    def redact(self, text: str) -> str:
        """`text` without this database's password."""
        from sqlalchemy import make_url

        url = make_url(self.uri)
        secrets = {url.render_as_string(hide_password=False), url.password, os.environ.get("PGPASSWORD")}
        for secret in sorted((s for s in secrets if s), key=len, reverse=True):
            whole = rf"(?<!\w){re.escape(secret)}(?!\w)"  # a short one may be part of any word
            text = re.sub(whole, "***", text) if len(secret) < SHORT else text.replace(secret, "***")
        return text


def embedded(cndb_dir: Path) -> DatabaseConfig:
    """The default database: a SQLite file in the CNDB folder."""
    return parse_config({"schema": "sqlite", "database": EMBEDDED_FILE}, EMBEDDED_NAME, EMBEDDED_NAME, cndb_dir, {})


def embedded_if_there(cndb_dir: Path) -> DatabaseConfig | None:
    """The embedded database, if its file exists."""
    return embedded(cndb_dir) if is_there(cndb_dir / EMBEDDED_FILE) else None


def find_config(name: str, cndb_dir: Path, environ: Mapping[str, str]) -> DatabaseConfig:
    """The database of launch.sh's fifth argument: a name, or a config file. Raises UsageError: no such, or invalid."""
    path = expanded(name)
    if name == EMBEDDED_NAME:
        return embedded(cndb_dir)
    if name in NAMES:
        path = cndb_dir / CONFIG_DIR / NAMES[name]
        if not path.is_file():
            path = project_file(f"cndb/{CONFIG_DIR}/{NAMES[name]}")
    elif "://" in name:  # may contain a password: don't print it
        raise UsageError("DATABASE is a URI", "put it as `uri:` into a YAML file and give that file")
    if not path.is_file():
        raise UsageError(
            f"DATABASE {name!r} is neither a known name nor a config file",
            f"take {', '.join(NAMES)}, {EMBEDDED_NAME}, the path of a YAML file (docs/cndb.md), or false",
        )
    try:
        values = load_yaml(read_file(path, ENCODING))
    except (*UNREADABLE, *NO_YAML) as error:
        source = f"database config {path}"
        if isinstance(error, RepeatedKey):
            raise UsageError(*not_yaml(source, error, "")) from None
        raise UsageError(
            f"{source}{line_of(error)} can't be read as YAML", "fix it; docs/cndb.md has its keys"
        ) from None  # YAML's own message would quote the line, which may contain the password
    return parse_config(values, name if name in NAMES else str(path.absolute()), str(path), cndb_dir, environ)


def parse_json(text: str, cndb_dir: Path, environ: Mapping[str, str]) -> DatabaseConfig:
    """The config from a JSON argument. Raises UsageError."""
    try:
        values = strict_json.loads(text, unique=True)
    except strict_json.RepeatedName as error:
        raise UsageError(f"--db_config: {error}", "leave one of the two out") from None
    except ValueError:
        raise UsageError("--db_config is not JSON", "give a mapping, or a file with --db_file") from None
    return parse_config(values, "--db_config", "--db_config", cndb_dir, environ)


def parse_config(values: Any, name: str, where: str, cndb_dir: Path, environ: Mapping[str, str]) -> DatabaseConfig:
    """The config from the keys of its file. A SQLite file's path is relative to the CNDB folder.

    Raises UsageError: an unknown key, or a value of the wrong type; the message never contains a value.
    """
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if not isinstance(values, dict):
        raise UsageError(f"database config {where} is not a mapping", "see docs/cndb.md for its keys")
    try:
        # The original's files have a `type`, which nothing reads; it takes a key without a value as one left out.
        given = {key: value for key, value in values.items() if key != "type" and value is not None}
        file = _File.model_validate({key: _expanded(value, where, environ) for key, value in given.items()})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UsageError(f"database config {where}: {key}: {problem['msg']}", "see docs/cndb.md for its keys") from None
    if file.uri is not None:
        try:
            url = make_url(file.uri.get_secret_value())
        except (ArgumentError, ValueError):
            hint = "write postgresql://USER@HOST:PORT/DATABASE; several hosts as .../DATABASE?host=A:PORT&host=B:PORT"
            raise UsageError(f"database config {where}: uri can't be read", hint) from None
        if "@" in (url.host or ""):  # then the host contains the end of the password
            raise UsageError(f"database config {where}: uri has an @ too many", "write %40 in a user or password")
    elif file.database is None:
        raise UsageError(f"database config {where} names no database", "give `database:` or `uri:`")
    else:
        url = URL.create(
            file.scheme or "postgresql",
            username=file.user,
            password=file.passwd.get_secret_value() if file.passwd else None,
            host=file.host,
            port=file.port,
            database=file.database,
        )
    options = chain.from_iterable([one] if isinstance(one, str) else one for one in url.query.values())
    if any("\0" in str(part) for part in (*url[:-1], *options)):  # libpq would read no further: another server, even
        raise UsageError(f"database config {where} holds a NUL", "leave it out")
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite":
        database = str((cndb_dir / url.database).absolute()) if url.database else ""
        url = URL.create("sqlite", database=database)
    elif backend in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if backend not in ("sqlite", "postgresql", "postgres") or not url.database:
        raise UsageError(f"database config {where} is of neither PostgreSQL nor SQLite", "write `schema: postgresql`")
    return DatabaseConfig(name, url, file.verbose, file.rebuild)


def _expanded(value: Any, where: str, environ: Mapping[str, str]) -> Any:
    """A value with its `${VARIABLE}`s replaced."""
    try:
        return VARIABLE.sub(lambda match: environ[match[1]], value) if isinstance(value, str) else value
    except KeyError as error:
        name = error.args[0]
        raise UsageError(f"database config {where} needs the variable {name}, which is not set", "export it") from None
