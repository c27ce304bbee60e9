"""Indexes and dashboard views that gbench adds to the contract's tables.

They disappear when the original's `rebuild: 1` recreates the tables, or when somebody deletes them, although
`gbench_migrations` still lists them. So look them up by name, and recreate them.
"""

from sqlalchemy import Connection

from gbench.cndb import views
from gbench.cndb.tables import METADATA, RUN_ID, STARTED

# For submission: by run and by md5. For the history: by the time of its run or of storing, with the columns that it
# filters by.
INDEXES = {
    "gbench_run_id": "{run_id}",
    "gbench_md5": "md5",
    "gbench_ran": "{started}, create_at, id, model_id, device, train_exec_mode",
    "gbench_history": "create_at, id, model_id, device, train_exec_mode",
}
NEEDED = {*METADATA.tables, *INDEXES, *(f"gbench_{view}" for view in views.VIEWS)}
# Without train_results, no addition exists.
FOUND = {
    "postgresql": "SELECT relname FROM pg_class WHERE relnamespace = "
    "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('train_results'))",
    "sqlite": "SELECT name FROM sqlite_master",
}


def missing(connection: Connection) -> set[str]:
    """Names of the missing tables, indexes and views. Raises sqlalchemy.exc.SQLAlchemyError."""
    return NEEDED - set(connection.exec_driver_sql(FOUND[connection.dialect.name]).scalars())


def restore(connection: Connection) -> None:
    """Create what is missing, and keep the rest: other views may depend on ours. Raises as `missing`."""
    METADATA.create_all(connection, checkfirst=True)
    create_indexes(connection)
    gone = missing(connection)
    views.create(connection, [view for view in views.VIEWS if f"gbench_{view}" in gone])


def create_indexes(connection: Connection) -> None:
    """Create the missing indexes. Raises as `missing`."""
    dialect = connection.dialect.name
    unknown_first = " NULLS FIRST" if dialect == "postgresql" else ""  # as always in SQLite
    for name, columns in INDEXES.items():
        columns = columns.format(run_id=RUN_ID[dialect], started=f"{STARTED[dialect]}{unknown_first}")
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON train_results ({columns})")
