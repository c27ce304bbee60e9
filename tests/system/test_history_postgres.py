"""A history's page is the same from PostgreSQL as from SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gbench.cndb.database_config import DatabaseConfig, embedded, parse_config
from gbench.cndb.schema import prepared
from gbench.reports.history_data import HistoryData, read_history
from gbench.reports.history_page import write_history
from postgres import Postgres
from view_data import NOW, drawn, row, stored

pytestmark = pytest.mark.system


@pytest.fixture
def postgresql(postgres: Postgres) -> Iterator[DatabaseConfig]:
    yield parse_config({"uri": postgres.uri("history")}, "test", "test", Path(), {})
    postgres.drop("history")


def said(history: HistoryData) -> Any:
    """Everything except the database, the time of reading and the keys, which differ by design."""
    results = {
        (one.name, one.details): [(r.id, r.when, r.throughput, r.low, r.high) for r in one.results]
        for one in history.configurations
    }
    levels = {
        one.name: (one.levels, [change.differs for change in one.changes], one.steady, one.of_first_rule)
        for one in history.configurations
    }
    regressions = [
        (item.configuration.name, item.result.id, item.previous_results, pytest.approx(item.loss_share))
        for item in history.regressions
    ]
    return results, levels, regressions


def test_both_databases_tell_the_same_history(postgresql: DatabaseConfig, tmp_path: Path) -> None:
    sqlite = embedded(tmp_path)
    for config in (postgresql, sqlite):
        engine, _ = prepared(config)
        stored(engine, drawn(seed=0))
        row(engine, performance={"throughput": "22.9 img/s"}, md5="460.73.01")
        for host in ("ann", "zoe"):
            machine = {"machine": {"host_name": host, "key": host[0] * 16}}
            row(engine, performance={"throughput": 3.5}, extra=machine, device="T4")
    one, other = (read_history(config, None, None) for config in (postgresql, sqlite))
    assert said(one) == said(other)
    assert one.regressions
    assert {"ann (aaaaaaaa)", "zoe (zzzzzzzz)"} <= {one.details for one in one.configurations}
    since = NOW - timedelta(days=20)
    one, other = (read_history(config, "pix2pix_unet_256", since) for config in (postgresql, sqlite))
    assert said(one) == said(other)
    page = write_history(postgresql, tmp_path / "history.html", None, None).read_text()
    assert "history of history on " in page
