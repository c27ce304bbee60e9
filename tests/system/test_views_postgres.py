"""The dashboards' views on PostgreSQL, and what only PostgreSQL has: roles, dependencies, time zones, dumps."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import parse_config
from gbench.cndb.schema import upgrade
from gbench.cndb.tables import METADATA
from gbench.cndb.views import VIEWS
from postgres import Postgres
from view_cases import ViewCases
from view_data import NOW, Result, computed, documented_sql, kept, moment, query, row, stored, view

pytestmark = pytest.mark.system

DATABASE = "gpu-golden-bench"  # as in docs/dashboards.md
EARLIER = Path(__file__).parents[1] / "fixtures" / "database-before-summary.sql"
TABLES = "train_results, models, software_infos, hardware_infos"
# What Grafana puts in place of its macros
MACROS = {
    "$__timeFilter(run_time)": "run_time BETWEEN now() - interval '90 days' AND now()",
    "'$model'": "'pix2pix-resnet_9blocks'",
}


def without_age(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "age_days"}


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[Engine]:
    found = connect_or_create(parse_config({"uri": postgres.uri(DATABASE)}, "test", "test", Path(), {}))
    yield found
    postgres.drop(DATABASE)


@pytest.fixture
def engine(database: Engine) -> Engine:
    upgrade(database)
    with database.begin() as connection:
        connection.execute(text(f"TRUNCATE {TABLES} RESTART IDENTITY"))
    return database


class TestViewsOnPostgres(ViewCases):
    """And what only PostgreSQL has."""

    def test_the_original_rebuilds_and_the_views_answer_again(self, engine: Engine, postgres: Postgres) -> None:
        stored(engine, [Result(2, 100, 1)])
        postgres.query(DATABASE, "; ".join(f"DROP TABLE {table}" for table in TABLES.split(", ")))  # as it drops them
        METADATA.create_all(engine)
        ids = stored(engine, [Result(2, 100, 1), Result(1, 50, 1)])
        assert [one["id"] for one in view(engine, "regressions")] == ids[1:]

    @pytest.mark.parametrize(
        ("rows", "index"), [("gbench_results", "gbench_summary_id"), ("gbench_computed()", "train_results_pkey")]
    )
    def test_a_filter_reaches_the_index(self, engine: Engine, rows: str, index: str) -> None:
        """PostgreSQL puts the query of gbench_computed() in its place."""
        stored(engine, [Result(1, 100, 1)])
        with engine.connect() as connection:
            connection.execute(text("SET enable_seqscan = off"))
            found = connection.execute(text(f"EXPLAIN SELECT throughput FROM {rows} WHERE id = 1")).scalars()
            assert index in "\n".join(found)

    def test_truncated_tables_leave_no_result(self, engine: Engine, postgres: Postgres) -> None:
        stored(engine, [Result(1, 100, 1)])
        postgres.query(DATABASE, "TRUNCATE train_results")
        assert view(engine, "results") == kept(engine) == []

    def test_a_disabled_trigger_makes_the_views_compute(self, engine: Engine, postgres: Postgres) -> None:
        postgres.query(DATABASE, "ALTER TABLE train_results DISABLE TRIGGER gbench_row")
        try:
            stored(engine, [Result(2, 100, 1)])
            assert (kept(engine), [one["throughput"] for one in view(engine, "results")]) == ([], [100])
        finally:
            postgres.query(DATABASE, "ALTER TABLE train_results ENABLE TRIGGER gbench_row")

    def test_a_database_of_earlier_views_is_upgraded(self, postgres: Postgres) -> None:
        postgres.create("earlier", EARLIER.read_text(encoding="utf-8"))
        try:
            postgres.query("earlier", 'ALTER DATABASE earlier SET search_path = "$user", public')
            engine = connect_or_create(parse_config({"uri": postgres.uri("earlier")}, "test", "test", Path(), {}))
            before = [view(engine, name) for name in VIEWS]
            assert upgrade(engine) is None
            for rows, earlier in zip((view(engine, name) for name in VIEWS), before, strict=True):
                assert [without_age(row) for row in rows] == [without_age(row) for row in earlier]
            assert kept(engine) == computed(engine) and len(kept(engine)) == 2
            assert "gbench_rows" not in " ".join(postgres.schema("earlier"))
            assert upgrade(engine) is None
            assert len(query(engine, "SELECT * FROM theirs")) == len(before[3])  # a view on ours stayed
        finally:
            postgres.drop("earlier")

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
    def test_a_start_is_the_same_moment_in_every_time_zone(self, engine: Engine, postgres: Postgres, zone: str) -> None:
        starts = ["2026-03-08T02:30:00", "2026-03-08T02:30:00Z", "2026-03-08 08:00:00.000+05:30"]
        for start in starts:
            row(engine, extra={"started_utc": start})
        with psycopg.connect(postgres.uri(DATABASE), options=f"-c timezone={zone} -c datestyle=German") as connection:
            found = connection.execute("SELECT extract(epoch FROM run_time) FROM gbench_results").fetchall()
        assert [one[0] for one in found] == [moment(starts[0]).timestamp()] * 3

    def test_the_documents_role_reads_and_writes_nothing(
        self, engine: Engine, postgres: Postgres, tmp_path: Path
    ) -> None:
        stored(engine, [Result(2, 100, 1), Result(1, 50, 1)])
        (setup, *others), queries = documented_sql("psql"), documented_sql("postgresql")
        try:
            postgres.query(DATABASE, setup)
            postgres.query(DATABASE, "ALTER ROLE dashboards PASSWORD 'look'")
            password = tmp_path / "pgpass"
            password.write_text(f"127.0.0.1:{postgres.port}:{DATABASE}:dashboards:look\n")
            password.chmod(0o600)
            place = f"127.0.0.1:{postgres.port}/{DATABASE}"
            reader = create_engine(f"postgresql+psycopg://dashboards@{place}?passfile={password}")
            assert [len(view(reader, name)) for name in VIEWS] == [2, 1, 2, 1, 1]
            assert queries
            for sql in queries:
                for macro, expanded in MACROS.items():
                    sql = sql.replace(macro, expanded)
                assert "$" not in sql
                assert query(reader, sql), sql
            for sql in ("DELETE FROM train_results", "CREATE TABLE x (y int)"):
                with reader.connect() as connection, pytest.raises(DBAPIError, match="read-only transaction"):
                    connection.execute(text(sql))
                with reader.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
                    connection.execute(text("SET TRANSACTION READ WRITE"))  # as whoever wants to may
                    connection.execute(text(sql))
            for statements in others:
                postgres.query(DATABASE, statements)
            assert "TRIGGER" not in " ".join(postgres.schema(DATABASE))  # the last one dropped all
            postgres.query(DATABASE, "DELETE FROM gbench_migrations")
            upgrade(engine)
            assert [len(view(reader, name)) for name in VIEWS] == [2, 1, 2, 1, 1]  # readable again by default
        finally:
            postgres.query(DATABASE, "DROP OWNED BY dashboards; DROP ROLE dashboards")

    def test_tables_in_another_schema_need_no_search_path(self, postgres: Postgres) -> None:
        postgres.create("elsewhere")
        try:
            postgres.query("elsewhere", 'CREATE SCHEMA "Golden"; ALTER DATABASE elsewhere SET search_path = "Golden"')
            engine = connect_or_create(parse_config({"uri": postgres.uri("elsewhere")}, "test", "test", Path(), {}))
            upgrade(engine)
            stored(engine, [Result(2, 100, 1), Result(1, 50, 1)])
            sql = 'SET search_path = pg_catalog; CREATE MATERIALIZED VIEW "Golden".kept AS SELECT * FROM '
            postgres.query("elsewhere", sql + '"Golden".gbench_regressions')
            assert postgres.query("elsewhere", "SELECT previous_mean FROM kept") == [(100.0,)]
        finally:
            postgres.drop("elsewhere")

    def test_a_dump_restores_with_its_views(self, engine: Engine, postgres: Postgres) -> None:
        stored(engine, [Result(2, 100, 1), Result(1, 50, 1)])
        dump = subprocess.run(["pg_dump", DATABASE], env=postgres.environ, check=True, capture_output=True, text=True)
        try:
            postgres.create("restored", dump.stdout)
            assert postgres.query("restored", "SELECT count(*) FROM gbench_regressions") == [(1,)]
        finally:
            postgres.drop("restored")

    def test_a_stored_time_far_off_makes_no_view_fail(self, engine: Engine, postgres: Postgres) -> None:
        for moment_of in ("'infinity'", "'-infinity'", "'294276-12-31'", "NULL"):
            number = row(engine, performance={"throughput": 5}, create_at=NOW)
            sql = f"UPDATE train_results SET create_at = {moment_of}, tags = '{{NULL,a}}' WHERE id = {number}"
            postgres.query(DATABASE, sql)
        for name in VIEWS:
            postgres.query(DATABASE, f"SELECT (x.*)::text FROM gbench_{name} x")
