"""The store on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig
from history_cases import HistoryCases
from postgres import Postgres
from row_cases import RowCases
from schema_cases import SchemaCases
from store_cases import StoreCases
from stores import count, made
from submitters import RECORDS, submit_together

pytestmark = pytest.mark.system


@pytest.fixture
def database(postgres: Postgres) -> Iterator[DatabaseConfig]:
    name = "store"
    yield DatabaseConfig(name, postgres.uri(name).replace("postgresql:", "postgresql+psycopg:"))
    postgres.drop(name)


class TestStore(StoreCases):
    """Store types, and each run once."""


class TestRows(RowCases):
    """Records in the tables, and out again."""


class TestHistory(HistoryCases):
    """The history."""


class TestSchema(SchemaCases):
    """The schema, and many submitters at once; and what only a server has."""

    @pytest.mark.slow
    def test_eight_processes_on_a_server_of_another_isolation_level(
        self, database: DatabaseConfig, postgres: Postgres
    ) -> None:
        made(database)
        postgres.query("postgres", "ALTER DATABASE store SET default_transaction_isolation = 'repeatable read'")
        assert submit_together(database, "skip", of_runs=False)["inserted"] == RECORDS
        assert count(connect(database), "train_results") == RECORDS
