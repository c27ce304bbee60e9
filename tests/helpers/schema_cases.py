"""Creating and completing the schema of any database, also by several processes at once."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from drawn_records import drawn
from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.queries import RecordFilter, records
from gbench.cndb.record_file import to_yaml
from gbench.cndb.schema import drop_all, missing, upgrade
from gbench.cndb.views import VIEWS
from gbench.errors import InfrastructureError
from stores import Cases, count, sql, store
from submitters import PROCESSES, RECORDS, same_records, submit_together


class SchemaCases(Cases):
    """The cases."""

    def test_a_second_upgrade_changes_nothing(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        assert upgrade(engine) is None
        assert count(engine, "train_results") == 1

    def test_a_schema_that_only_a_later_gbench_knows_is_left_alone(self, engine: Engine) -> None:
        sql(engine, "UPDATE gbench_migrations SET version_num = '9999'")
        assert upgrade(engine) is None
        assert store(engine, drawn(), "save") == (1, "inserted")
        assert sql(engine, "SELECT version_num FROM gbench_migrations") == [("9999",)]

    def test_rebuilding_leaves_an_empty_database(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        drop_all(engine)
        assert upgrade(engine) is None
        assert [count(engine, table) for table in ("train_results", "models", "software_infos")] == [0, 0, 0]
        assert store(engine, drawn(), "save") == (1, "inserted")

    def test_a_database_that_is_not_there_is_told_by_reading(self, database: DatabaseConfig) -> None:
        with pytest.raises(InfrastructureError) as error:
            connect(database)
        assert "\n" not in str(error.value)

    def test_what_was_dropped_comes_back_and_dependents_stay(self, engine: Engine) -> None:
        """As after a rebuild by the original's tool: `gbench_migrations` still lists everything."""
        store(engine, drawn(), "save")
        sql(engine, "CREATE VIEW theirs AS SELECT * FROM gbench_results")
        for name in ("INDEX gbench_run_id", "INDEX gbench_history", "VIEW gbench_fleet", "VIEW gbench_latest"):
            sql(engine, f"DROP {name}")
        gone = {"gbench_run_id", "gbench_history", "gbench_fleet", "gbench_latest"}
        with engine.connect() as connection:
            assert missing(connection) == gone
        assert upgrade(engine) is None
        with engine.connect() as connection:
            assert missing(connection) == set()
        assert [count(engine, name) for name in ("theirs", "gbench_fleet", "gbench_latest")] == [1, 1, 1]

    def test_dropped_tables_come_back_with_all_that_is_ours(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        for table in ("train_results", "models", "software_infos", "hardware_infos"):
            sql(engine, f"DROP TABLE {table}")
        assert upgrade(engine) is None
        assert store(engine, drawn(), "save") == (1, "inserted")
        with engine.connect() as connection:
            assert missing(connection) == set()
        assert [count(engine, f"gbench_{view}") for view in VIEWS] == [1, 1, 1, 0, 1]

    # many at once

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("store_type", "of_runs"), [("skip", False), ("save", False), ("update", False), ("save", True)]
    )
    def test_eight_processes_leave_each_record_once(
        self, database: DatabaseConfig, store_type: str, of_runs: bool
    ) -> None:
        actions = submit_together(database, store_type, of_runs)
        otherwise = "updated" if store_type == "update" else "already there"
        assert actions == {"inserted": RECORDS, otherwise: (PROCESSES - 1) * RECORDS}
        engine = connect(database)
        counts = {"train_results": 200, "models": 3, "software_infos": 5, "hardware_infos": 7}
        assert {table: count(engine, table) for table in counts} == counts
        stored = sorted(to_yaml(record) for _, record in records(engine, RecordFilter()))
        assert stored == sorted(to_yaml(record) for record in same_records(of_runs))
