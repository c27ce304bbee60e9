"""The store on SQLite, the embedded default."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.cndb.database_config import DatabaseConfig, embedded
from history_cases import HistoryCases
from row_cases import RowCases
from schema_cases import SchemaCases
from store_cases import StoreCases


@pytest.fixture
def database(tmp_path: Path) -> DatabaseConfig:
    return embedded(tmp_path / "cndb")


class TestStore(StoreCases):
    """Store types, and each run once."""


class TestRows(RowCases):
    """Records in the tables, and out again."""


class TestHistory(HistoryCases):
    """The history."""


class TestSchema(SchemaCases):
    """The schema, and many submitters at once."""
