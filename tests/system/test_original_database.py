"""A database of the original's tool: read, written, and otherwise unchanged."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from drawn_records import drawn, of_run
from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.identity import md5_of
from gbench.cndb.queries import RecordFilter, entries, find, records
from gbench.cndb.record_file import parse_record, to_yaml
from gbench.cndb.schema import drop_all, upgrade
from gbench.cndb.store import submit
from original import DUMPS, FILES, INSERT
from postgres import Postgres
from stores import count, made, sql, store

pytestmark = pytest.mark.system

NAME = "original"


@pytest.fixture
def restored(postgres: Postgres) -> Iterator[Callable[[str], DatabaseConfig]]:
    """Makes a database of one of DUMPS."""

    def restore(dump: str) -> DatabaseConfig:
        postgres.create(NAME, DUMPS[dump])
        return DatabaseConfig(NAME, postgres.uri(NAME).replace("postgresql:", "postgresql+psycopg:"))

    yield restore
    postgres.drop(NAME)


def statements(lines: list[str]) -> set[str]:
    """The statements of a schema, each as one text, without the bodies of functions."""
    bare = re.sub(r"AS (\$\w*\$).*?\1", "AS ...", "\n".join(lines), flags=re.DOTALL)
    return {" ".join(statement.split()) for statement in bare.split(";\n")}


def contents(engine: Engine) -> list[list[tuple[object, ...]]]:
    """All rows of the contract's tables."""
    tables = ("models", "software_infos", "hardware_infos", "train_results")
    return [sql(engine, f"SELECT * FROM {table} ORDER BY id") for table in tables]


@pytest.mark.parametrize("dump", DUMPS)
def test_its_schema_and_rows_stay_as_they_are(
    dump: str, restored: Callable[[str], DatabaseConfig], postgres: Postgres
) -> None:
    config = restored(dump)
    schema, rows = postgres.schema(NAME), contents(connect(config))
    engine = made(config)
    assert contents(engine) == rows
    submit(engine, [drawn(model="ours"), of_run("run-1", model="ours"), drawn(model="ours", soft_info=None)], "save")
    assert len(entries(engine, RecordFilter())) == len(rows[-1]) + 3
    before, after = statements(schema), statements(postgres.schema(NAME))
    assert before <= after
    assert after - before
    assert [one for one in after - before if "gbench_" not in one] == []
    assert [one for one in after - before if one.startswith("ALTER TABLE") and "ONLY public.gbench_" not in one] == []
    for table, old in zip(contents(engine), rows, strict=True):
        assert table[: len(old)] == old


@pytest.mark.parametrize("dump", DUMPS)
def test_taking_our_additions_away_leaves_the_dumps_schema(
    dump: str, restored: Callable[[str], DatabaseConfig], postgres: Postgres
) -> None:
    config = restored(dump)
    schema = postgres.schema(NAME)
    engine = made(config)
    added = sql(
        engine,
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'gbench%' "
        "AND relkind IN ('r', 'v', 'i') AND relname NOT LIKE '%_pkc' ORDER BY relkind = 'v' DESC",
    )
    assert {str(name).partition("_")[0] for name, _ in added} == {"gbench"}
    for name, kind in added:
        sql(engine, f"DROP {({'r': 'TABLE', 'v': 'VIEW', 'i': 'INDEX'})[str(kind)]} IF EXISTS {name} CASCADE")
    sql(engine, "DROP FUNCTION gbench_computed(), gbench_summarise() CASCADE")  # with its triggers
    assert postgres.schema(NAME) == schema


@pytest.mark.parametrize("dump", DUMPS)
def test_the_tables_that_we_make_are_those_of_the_dump(
    dump: str, restored: Callable[[str], DatabaseConfig], postgres: Postgres
) -> None:
    made(restored(dump))
    ours = "ours"
    made(DatabaseConfig(ours, postgres.uri(ours).replace("postgresql:", "postgresql+psycopg:")))
    try:
        assert statements(postgres.schema(ours)) == statements(postgres.schema(NAME))
    finally:
        postgres.drop(ours)


@pytest.mark.parametrize("dump", DUMPS)
def test_its_rows_are_listed_shown_and_exported(dump: str, restored: Callable[[str], DatabaseConfig]) -> None:
    engine = connect(restored(dump))  # as it is, without our indexes
    rows = sql(
        engine, "SELECT id, md5, device, performance ->> 'throughput' FROM train_results ORDER BY create_at DESC"
    )
    listed = entries(engine, RecordFilter())
    assert [(entry.id, entry.device) for entry in listed] == [(row[0], row[2]) for row in rows]
    for entry, (number, md5, _, throughput) in zip(listed, rows, strict=True):
        found = find(engine, entry.id)
        assert (found.id, found.md5, md5_of(found.record)) == (number, md5, md5)
        if throughput is not None:
            assert (f"{entry.throughput:g} {entry.unit}") == throughput
    assert {number for number, _ in records(engine, RecordFilter())} == {row[0] for row in rows}


def test_the_list_unpacks_the_documents_of_its_own_rows_alone(restored: Callable[[str], DatabaseConfig]) -> None:
    """Without our indexes all rows are sorted, by a value of their `extra`; no other document is unpacked for that."""
    engine = connect(restored("drawn"))
    said: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
    assert len(entries(engine, RecordFilter(limit=1))) == 1
    (_, (statement, values)) = said  # after the transaction's settings
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (VERBOSE, COSTS OFF) {statement}", values).scalars().all()
    limit = next(number for number, line in enumerate(plan) if line.strip().startswith("->  Limit"))
    assert "jsonb_extract_path_text" in "\n".join(plan[:limit])
    assert "jsonb_extract_path_text" not in plan[limit + 1]
    (sort,) = (line for line in plan[limit:] if "Sort Key: " in line)
    assert "started_utc" in sort and "create_at DESC" in sort and "performance" not in sort


@pytest.mark.parametrize("dump", DUMPS)
def test_what_is_exported_from_it_is_already_there(dump: str, restored: Callable[[str], DatabaseConfig]) -> None:
    engine = made(restored(dump))
    before = contents(engine)
    exported = [record for _, record in records(engine, RecordFilter())]
    for store_type in ("save", "skip"):
        assert {stored.action for stored in submit(engine, exported, store_type)} == {"already there"}
    assert contents(engine) == before


@pytest.mark.parametrize("dump", DUMPS)
def test_the_originals_tool_writes_after_us(dump: str, restored: Callable[[str], DatabaseConfig]) -> None:
    engine = made(restored(dump))
    store(engine, drawn(), "save")
    rows = count(engine, "train_results")
    sql(engine, INSERT)  # without our lock, and unaware of us
    sql(engine, "INSERT INTO models (name) VALUES ('its-own')")
    sql(engine, "UPDATE train_results SET performance = '{\"throughput\": \"13.5 img/s\"}' WHERE md5 = '460.73.01'")
    listed = entries(engine, RecordFilter())
    assert len(listed) == rows + 1
    assert (listed[0].throughput, listed[0].unit, listed[0].device) == (13.5, "img/s", "Drawn-40GB")
    record = find(engine, listed[0].id).record
    assert store(engine, record, "save")[1] == "already there"
    assert store(engine, drawn(model="its-own"), "save")[1] == "inserted"
    assert sql(engine, "SELECT count(*) FROM models WHERE name = 'its-own'") == [(1,)]


def test_its_tool_makes_a_name_in_the_moment_in_which_we_do(
    restored: Callable[[str], DatabaseConfig], postgres: Postgres
) -> None:
    """The original's tool takes no lock: wait for its row, and use it."""
    engine = made(restored("drawn"))
    with psycopg.connect(postgres.uri(NAME)) as its:
        its.execute("INSERT INTO models (name, categories) VALUES ('both', '{its}')")
        ours = threading.Thread(target=lambda: store(engine, drawn(model="both"), "save"))
        ours.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'gbench'"
        while postgres.query(NAME, waiting) != [(1,)]:
            assert ours.is_alive()
        its.commit()
        ours.join()
    assert sql(engine, "SELECT categories, metrics FROM models WHERE name = 'both'") == [(["its"], ["G_GAN", "G_L1"])]


def test_rebuilding_drops_our_and_the_contracts_tables(
    restored: Callable[[str], DatabaseConfig], postgres: Postgres
) -> None:
    engine = made(restored("drawn"))
    drop_all(engine)
    assert [one for one in statements(postgres.schema(NAME)) if "TABLE" in one or "VIEW" in one] == []
    assert upgrade(engine) is None


@pytest.mark.parametrize(("dump", "file"), FILES)
def test_the_originals_files_are_the_rows_that_it_made_of_them(
    dump: str, file: str, restored: Callable[[str], DatabaseConfig]
) -> None:
    engine = made(restored(dump))
    record = parse_record(file, "its file")
    rows = sql(engine, "SELECT id FROM train_results WHERE md5 = :md5 ORDER BY id", md5=md5_of(record))
    assert rows
    for (number,) in rows:
        assert to_yaml(find(engine, number).record) == to_yaml(record)
    before = contents(engine)
    for store_type in ("save", "skip"):
        assert store(engine, record, store_type)[1] == "already there"
    assert contents(engine) == before
    assert store(engine, record, "update") == (rows[0][0], "updated")
