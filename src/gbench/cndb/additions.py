"""What gbench adds to the contract's tables: indexes, and the dashboards' views.

They disappear when the original's `rebuild: 1` recreates the tables, or a person cleans up, while `gbench_migrations`
still lists them. So they are looked up by name, and recreated.
"""

from __future__ import annotations

from sqlalchemy import Connection

from gbench.cndb import views
from gbench.cndb.tables import METADATA

RUN_ID = {"postgresql": "(extra ->> 'run_id')", "sqlite": "json_extract(extra, '$.run_id')"}
# For submission, by run and by md5; for the history, by time and filtered within the index itself
INDEXES = {
    "gbench_run_id": "{run_id}",
    "gbench_md5": "md5",
    "gbench_history": "create_at, id, model_id, device, train_exec_mode",
}
NEEDED = {*METADATA.tables, *INDEXES, *(f"gbench_{view}" for view in views.VIEWS)}
# Without train_results: none of ours exists.
FOUND = {
    "postgresql": "SELECT relname FROM pg_class WHERE relnamespace = "
    "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('train_results'))",
    "sqlite": "SELECT name FROM sqlite_master",
}


def missing(connection: Connection) -> set[str]:
    """Names of the tables, indexes and views that are not there. Raises sqlalchemy.exc.SQLAlchemyError."""
    return NEEDED - set(connection.exec_driver_sql(FOUND[connection.dialect.name]).scalars())


def restore(connection: Connection) -> None:
    """Create what is missing, and touch nothing else: other views may depend on ours. Raises as `missing`."""
    METADATA.create_all(connection, checkfirst=True)
    create_indexes(connection)
    gone = missing(connection)
    views.create(connection, [view for view in views.VIEWS if f"gbench_{view}" in gone])


def create_indexes(connection: Connection) -> None:
    """Make the indexes that are missing. Raises as `missing`."""
    for name, columns in INDEXES.items():
        columns = columns.format(run_id=RUN_ID[connection.dialect.name])
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON train_results ({columns})")
