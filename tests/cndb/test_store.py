"""The store on SQLite, the embedded default."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.cndb.config import DatabaseConfig, embedded
from store_cases import StoreCases


@pytest.fixture
def database(tmp_path: Path) -> DatabaseConfig:
    return embedded(tmp_path / "cndb")


class TestOnSqlite(StoreCases):
    """Every case of the store."""
