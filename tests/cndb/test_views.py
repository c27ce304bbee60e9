"""The dashboards' views on SQLite."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import embedded
from gbench.cndb.schema import upgrade
from gbench.cndb.views import VIEWS
from view_cases import ViewCases
from view_data import NOW, computed, kept, query, row, view

EARLIER = Path(__file__).parents[1] / "fixtures" / "run-folders-v1" / "cndb.sqlite"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = connect_or_create(embedded(tmp_path))
    upgrade(found)
    return found


class TestViewsOnSqlite(ViewCases):
    """Also tests values that only SQLite can store."""

    @pytest.mark.parametrize("column", ["performance", "hyper_params", "tags"])
    @pytest.mark.parametrize("value", ["{", "", "NaN", "{'throughput': 3}", "\x00"])
    def test_text_that_is_no_json_makes_no_view_fail(self, engine: Engine, column: str, value: str) -> None:
        number = row(engine)
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE train_results SET {column} = :value"), {"value": value})
        assert all(view(engine, name)[0] for name in ("results", "latest", "fleet"))
        assert [one["id"] for one in view(engine, "results")] == [number]
        assert view(engine, "trend") == view(engine, "regressions") == []

    @pytest.mark.parametrize("value", ["yesterday", "", "2026-13-45 99:00:00", 5, None])
    def test_a_stored_time_that_is_none_makes_no_view_fail(self, engine: Engine, value: str | int | None) -> None:
        row(engine, performance={"throughput": 5}, create_at=NOW)
        with engine.begin() as connection:
            connection.execute(text("UPDATE train_results SET create_at = :value"), {"value": value})
        assert [len(view(engine, name)) for name in VIEWS] == [1, 1, 1, 0, 1]

    def test_a_database_of_earlier_views_is_upgraded(self, tmp_path: Path) -> None:
        shutil.copy(EARLIER, tmp_path)
        engine = connect_or_create(embedded(tmp_path))
        before = [len(view(engine, name)) for name in VIEWS]
        with engine.begin() as connection:
            connection.execute(text("CREATE VIEW theirs AS SELECT id FROM gbench_results"))
        assert upgrade(engine) is None
        assert [len(view(engine, name)) for name in VIEWS] == before
        assert kept(engine) == computed(engine)
        assert len(kept(engine)) == len(query(engine, "SELECT * FROM theirs")) == before[0] == 3

    def test_the_trend_of_an_earlier_migration_is_replaced(self, engine: Engine) -> None:
        number = row(engine, performance={"throughput": 5})
        with engine.begin() as connection:
            connection.execute(text("UPDATE gbench_migrations SET version_num = '0004'"))
            connection.execute(text("DROP VIEW gbench_trend"))
            connection.execute(text("CREATE VIEW gbench_trend AS SELECT id FROM gbench_results WHERE throughput > 0"))
        assert upgrade(engine) is None
        (found,) = view(engine, "trend")
        assert (found["id"], found["previous_id"]) == (number, None)
