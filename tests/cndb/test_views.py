"""The dashboards' views on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import embedded
from gbench.cndb.schema import upgrade
from gbench.cndb.views import VIEWS
from view_cases import ViewCases
from view_data import NOW, row, view


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
