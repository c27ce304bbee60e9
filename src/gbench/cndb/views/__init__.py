"""SQL views for dashboards (docs/dashboards.md), read-only and named `gbench_...`.

`gbench_results` flattens the contract's tables, in each database's own SQL. The other views use it, in SQL that both
databases understand.
"""

from collections.abc import Iterable
from importlib.resources import files

from sqlalchemy import Connection

VIEWS = ("results", "latest", "trend", "regressions", "fleet")
TABLES_SCHEMA = """
SELECT quote_ident(nspname) FROM pg_namespace
WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = 'train_results'::regclass)
"""


def create(connection: Connection, names: Iterable[str] = VIEWS) -> None:
    """Create the views, in this order; the tables must exist. Raises sqlalchemy.exc.SQLAlchemyError."""
    for view in names:
        name = f"results_{connection.dialect.name}" if view == "results" else view
        sql = files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
        if name == "results_postgresql":
            sql = sql.replace(" public.", f" {connection.exec_driver_sql(TABLES_SCHEMA).scalar_one()}.")
        _execute(connection, sql)


def drop(connection: Connection) -> None:
    """Drop the views that exist. Raises sqlalchemy.exc.SQLAlchemyError."""
    for view in reversed(VIEWS):
        _execute(connection, f"DROP VIEW IF EXISTS gbench_{view}")
    if connection.dialect.name == "postgresql":
        _execute(connection, "DROP FUNCTION IF EXISTS gbench_rows()")


def _execute(connection: Connection, sql: str) -> None:
    """Run SQL without parameter substitution."""
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
