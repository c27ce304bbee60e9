"""The store on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Postgres
from store_cases import StoreCases

from gbench.cndb.config import DatabaseConfig

pytestmark = pytest.mark.system


@pytest.fixture
def database(postgres: Postgres) -> Iterator[DatabaseConfig]:
    name = "store"
    yield DatabaseConfig(name, postgres.uri(name).replace("postgresql:", "postgresql+psycopg:"))
    postgres.drop(name)


class TestOnPostgres(StoreCases):
    """Every case of the store."""
