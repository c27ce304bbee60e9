"""Database configs from names, files and JSON text; errors that do not show values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from gbench.cndb.database import connect, connect_or_create, database_errors
from gbench.cndb.database_config import (
    CONFIG_DIR,
    NAMES,
    DatabaseConfig,
    embedded,
    find_config,
    parse_config,
    parse_json,
)
from gbench.cndb.schema import upgrade
from gbench.errors import InfrastructureError, UsageError
from golden import check_golden

SECRET = "s3cret-Wort"
FULL = {
    "schema": "postgresql",
    "user": "golden",
    "passwd": SECRET,
    "host": "db.example.org",
    "port": 5433,
    "database": "bench",
    "verbose": 1,
    "rebuild": 0,
}


def parsed(values: Any, tmp_path: Path, **environ: str) -> DatabaseConfig:
    return parse_config(values, "name", "db.yaml", tmp_path, environ)


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**FULL, **changes}.items() if key not in keys}


def test_the_originals_keys(tmp_path: Path) -> None:
    config = parsed(FULL, tmp_path)
    url = make_url(config.uri)
    assert (url.drivername, url.username, url.password) == ("postgresql+psycopg", "golden", SECRET)
    assert (url.host, url.port, url.database) == ("db.example.org", 5433, "bench")
    assert (config.name, config.verbose, config.rebuild) == ("name", True, False)
    assert config.shown == "bench on db.example.org:5433"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "postgres"},
        {"type": "${NOT_SET}"},  # nothing reads it
        {"type": ["mysql"]},
        {"port": "5433", "verbose": "1", "rebuild": "0"},
        {"port": "${DB_PORT}", "rebuild": "${DB_REBUILD}"},
        {"verbose": True, "rebuild": None, "uri": None},
    ],
)
def test_ways_to_write_the_originals_keys(changes: dict[str, Any], tmp_path: Path) -> None:
    values, environ = {**FULL, **changes}, {"DB_PORT": "5433", "DB_REBUILD": "0"}
    path = tmp_path / "db.yaml"
    path.write_text(yaml.safe_dump(values))
    expected = parsed(FULL, tmp_path)
    found = [find_config(str(path), tmp_path, environ), parse_json(json.dumps(values), tmp_path, environ)]
    for config in [*found, parsed(values, tmp_path, **environ)]:
        assert (config.uri, config.verbose, config.rebuild) == (expected.uri, True, False)


def test_the_originals_own_config(shared: Callable[[str], Path], tmp_path: Path) -> None:
    own = shared("cndb-legacy/db_config.example.yaml")
    path = tmp_path / CONFIG_DIR / NAMES["gpu-performance"]
    path.parent.mkdir(parents=True)
    path.write_bytes(own.read_bytes())
    as_json = json.dumps(yaml.safe_load(own.read_text()))
    for config in (
        find_config("gpu-performance", tmp_path, {}),
        find_config(str(own), tmp_path, {}),
        parse_json(as_json, tmp_path, {}),
    ):
        assert config.shown == "gpu_golden_bench on 127.0.0.1:5432"
        assert (make_url(config.uri).username, config.verbose, config.rebuild) == ("benchmark", False, False)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({**FULL, "port": True}, "port: Input should be a number"),
        ({**FULL, "port": 65536}, "port: Input should be less than 65536"),
        ({**FULL, "port": -1}, "port: Input should be greater than or equal to 1"),
        ({**FULL, "passwd": f"{SECRET}\0x"}, "holds a NUL"),  # libpq would take the default port
        ({**FULL, "host": "db\0x"}, "holds a NUL"),
        ({"uri": f"postgresql://golden:{SECRET}%00@db/bench"}, "holds a NUL"),
        ({"uri": "postgresql://golden@db/bench?host=a:1&host=b%00:2"}, "holds a NUL"),
        ({"schema": "sqlite", "database": "a\0b"}, "holds a NUL"),
    ],
)
def test_what_a_driver_would_misread(values: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(values, tmp_path)
    assert wrong in raised.value.what and SECRET not in str(raised.value)


@pytest.mark.parametrize("host", ["a" * 64, "db..example", "é" * 64])
def test_a_host_whose_name_cant_be_one(host: str, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="host name"):
        connect(parsed(without(host=host), tmp_path))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_uri_of_any_driver(scheme: str, tmp_path: Path) -> None:
    config = parsed({"uri": f"{scheme}://golden:p%40ss@db/bench?sslmode=require"}, tmp_path)
    url = make_url(config.uri)
    assert (url.drivername, url.password, url.query) == ("postgresql+psycopg", "p@ss", {"sslmode": "require"})
    assert config.shown == "bench on db"


@pytest.mark.parametrize("password", ["p@ss:w/o?r#d%41 &", "ключ", "'\"\\", "${NOT_THIS}"])
def test_any_password_arrives_as_it_is(password: str, tmp_path: Path) -> None:
    config = parsed(without(passwd="${DB_PASSWORD}"), tmp_path, DB_PASSWORD=password)
    assert make_url(config.uri).password == password


def test_variables_are_filled_in_anywhere(tmp_path: Path) -> None:
    values = without(host="${DB_HOST}", database="bench_${TEAM}", port="${DB_PORT}")
    url = make_url(parsed(values, tmp_path, DB_HOST="h", TEAM="a", DB_PORT="77").uri)
    assert (url.host, url.database, url.port) == ("h", "bench_a", 77)
    url = make_url(parsed({"uri": "${DATABASE_URL}"}, tmp_path, DATABASE_URL=f"postgresql://u:{SECRET}@h/d").uri)
    assert (url.host, url.password) == ("h", SECRET)


def test_no_password_is_left_to_postgresqls_client(tmp_path: Path) -> None:
    assert make_url(parsed(without("passwd"), tmp_path).uri).password is None


WRONG_VALUES: list[Any] = [
    without(passwd="${NOT_SET}"),
    without(hots="h"),
    {**FULL, 5: "x"},
    without(port="five"),
    without(passwd=[SECRET]),
    without(passwd=12345678),
    without(host={"name": SECRET}),
    without(verbose="loud"),
    without(rebuild=2),
    without("database"),
    without(database=""),
    without(schema="mysql"),
    {"uri": f"mysql://u:{SECRET}@h/d"},
    {"uri": f"u:{SECRET}@h/d"},
    {"uri": f"postgresql://u:{SECRET}@h:port/d"},
    {"uri": f"postgresql://u:p@{SECRET}@h/d"},
    {"uri": f"postgresql://u:{SECRET}@h"},
    [SECRET],
    None,
    {},
]


def test_errors_are_one_sentence_without_the_value(tmp_path: Path) -> None:
    sentences = []
    for values in WRONG_VALUES:
        with pytest.raises(UsageError) as error:
            parsed(values, tmp_path)
        assert SECRET not in str(error.value) + repr(error.value) + repr(error.value.__cause__)
        sentences.append(str(error.value))
    assert not any("\n" in said or "12345678" in said for said in sentences)
    check_golden("database-config-values.txt", "".join(f"{said}\n" for said in sentences))


@pytest.mark.parametrize("values", [FULL, {"uri": f"postgresql://golden:{SECRET}@db.example.org/bench"}])
def test_no_password_is_in_what_can_be_printed(values: dict[str, Any], tmp_path: Path) -> None:
    config = parsed(values, tmp_path)
    for shown in (repr(config), str(config), f"{config}", config.shown):
        assert SECRET not in shown
    uri = make_url(config.uri).render_as_string(hide_password=False)
    assert SECRET in uri  # the search finds it where it is
    assert config.redact(f"FATAL: {SECRET} at {uri}") == "FATAL: *** at ***"


def test_pgpassword_is_kept_out_of_what_a_server_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert parsed(without("passwd"), tmp_path).redact(f"said {SECRET}") == "said ***"


def test_a_password_of_one_letter_leaves_words_readable(tmp_path: Path) -> None:
    config = parsed({**FULL, "passwd": "a"}, tmp_path)
    assert config.redact("FATAL: password a of a database") == "FATAL: password *** of *** database"


# names and files


@pytest.mark.parametrize(("name", "file"), NAMES.items())
def test_launch_shs_names_are_files_of_the_cndb_folder(name: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / "demo" / "config" / file
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({**FULL, "database": f"db of {name}"}))
    config = find_config(name, tmp_path, {})
    assert (config.name, config.shown) == (name, f"db of {name} on db.example.org:5433")


def test_a_path_is_a_config_too(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("schema: sqlite\ndatabase: ${WHICH}.sqlite\n")
    config = find_config(str(path), tmp_path / "cndb", {"WHICH": "mine"})
    assert config.shown == str(tmp_path / "cndb" / "mine.sqlite")


WRONG_FILES: list[str | bytes] = [
    f"passwd: {SECRET}\n\tuser: x",
    f"passwd: '{SECRET}",
    f"passwd: !!python/object/apply:os.getenv [{SECRET}]",
    f"passwd: {SECRET}\nport: 2026-02-30",
    b"passwd: \xff",
    f"passwd: {SECRET}\nport: 1\npasswd: {SECRET}",
    f"- {SECRET}",
    "",
]


def test_a_file_that_is_no_config_says_so_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    sentences = []
    for text in WRONG_FILES:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UsageError) as error:
            find_config(str(path), tmp_path, {})
        assert SECRET not in str(error.value) + repr(error.value.__cause__)
        sentences.append(str(error.value).replace(str(tmp_path), "HERE"))
    check_golden("database-config-files.txt", "".join(f"{said}\n" for said in sentences))


def test_what_is_neither_name_nor_file(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"DATABASE 'gpu-fast' is neither a known name nor a config file; take gpu-perf"
    ):
        find_config("gpu-fast", tmp_path, {})
    with pytest.raises(UsageError, match=r"^DATABASE is a URI; put it as `uri:` into a YAML file") as error:
        find_config(f"postgresql://u:{SECRET}@h/d", tmp_path, {})
    assert SECRET not in str(error.value)


def test_json_text(tmp_path: Path) -> None:
    assert parse_json('{"schema": "sqlite", "database": "a.sqlite"}', tmp_path, {}).shown == str(tmp_path / "a.sqlite")
    with pytest.raises(UsageError, match=r"^--db_config is not JSON; ") as error:
        parse_json(f'{{"passwd": "{SECRET}"', tmp_path, {})
    assert SECRET not in str(error.value)
    with pytest.raises(UsageError, match=r"^--db_config: passwd is there twice; leave one of the two out$") as error:
        parse_json(f'{{"passwd": "{SECRET}", "database": "a", "passwd": "{SECRET}"}}', tmp_path, {})
    assert SECRET not in str(error.value)


# SQLite


@pytest.mark.parametrize("folder", ["plain", "a?b#c%41 d", "é:x", "x@y"])
def test_the_embedded_database_is_always_in_the_cndb_folder(folder: str, tmp_path: Path) -> None:
    config = embedded(tmp_path / folder)
    assert config.shown == str(tmp_path / folder / "cndb.sqlite")
    with connect_or_create(config).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    assert (tmp_path / folder / "cndb.sqlite").is_file()
    connect(config).dispose()


def test_a_sqlite_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"there is no database .*cndb.sqlite yet"):
        connect(embedded(tmp_path))
    (tmp_path / "cndb.sqlite").write_text("not a database " * 100)
    config = embedded(tmp_path)
    with pytest.raises(InfrastructureError, match="file is not a database") as error, database_errors(config):
        upgrade(connect_or_create(config))
    assert "\n" not in str(error.value)


def test_a_uri_of_several_hosts_in_libpqs_form(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"uri can't be read; .* as \.\.\./DATABASE\?host=A:PORT&host=B:PORT"):
        parse_config({"uri": "postgresql://u:p@a:1,b:2/d"}, "n", "my.yaml", tmp_path, {})
    several = parse_config({"uri": "postgresql://u:p@/d?host=a:1&host=b:2"}, "n", "my.yaml", tmp_path, {})
    assert several.shown == "d on a:1, b:2"
    assert parsed({"uri": "postgresql:///d"}, tmp_path).shown == "d on localhost"
