"""SQL views for dashboards (docs/dashboards.md), read-only and named `gbench_...`.

`gbench_computed`, a function on PostgreSQL and a view on SQLite, flattens the contract's tables. Triggers on them keep
its rows in the table `gbench_summary`, whoever writes. `gbench_runs` has all of them for the history's page,
`gbench_results` their documented columns; the other views use it, all but OWN_SQL in SQL that both
databases understand.
"""

from collections.abc import Iterable
from importlib.resources import files

from sqlalchemy import Connection, inspect

VIEWS = ("results", "latest", "trend", "regressions", "fleet")
OWN_SQL = ("results", "trend")  # those that each database has its own SQL for
# What the views need: tables, triggers and views.
SUMMARY = {
    "postgresql": {"summary", "runs", "row", "truncate", "model", "software", "hardware"},
    "sqlite": {"computed", "summary", "runs", "configurations", "number", "insert", "update", "delete"}
    | {"model", "software", "hardware"},
}
DROP = {
    "postgresql": (
        "TABLE IF EXISTS gbench_summary CASCADE",
        "FUNCTION IF EXISTS gbench_summarise() CASCADE",
        "FUNCTION IF EXISTS gbench_computed() CASCADE",
        "FUNCTION IF EXISTS gbench_rows() CASCADE",  # of earlier views
    ),
    "sqlite": ("TABLE IF EXISTS gbench_summary", "TABLE IF EXISTS gbench_configurations"),
}
TABLES_SCHEMA = """
SELECT quote_ident(nspname) FROM pg_namespace
WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = 'train_results'::regclass)
"""


def names(dialect: str) -> set[str]:
    """Names of the views and of what they need."""
    return {f"gbench_{name}" for name in {*VIEWS, *SUMMARY[dialect]}}


def create_summary(connection: Connection) -> None:
    """Create the summary and its triggers on the tables, and fill it. Raises sqlalchemy.exc.SQLAlchemyError."""
    _execute(connection, f"computed_{connection.dialect.name}")
    _execute(connection, f"summary_{connection.dialect.name}")


def create(connection: Connection, views: Iterable[str] = VIEWS) -> None:
    """Create or replace the views, in this order; the summary must exist. Raises sqlalchemy.exc.SQLAlchemyError."""
    for view in views:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS gbench_{view}")
        _execute(connection, f"{view}_{connection.dialect.name}" if view in OWN_SQL else view)


def drop(connection: Connection) -> None:
    """Drop what exists of them and of what they need. Raises sqlalchemy.exc.SQLAlchemyError."""
    cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
    for view in inspect(connection).get_view_names():
        if view.startswith("gbench_"):
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view}{cascade}")
    for what in DROP[connection.dialect.name]:
        connection.exec_driver_sql(f"DROP {what}")


def _execute(connection: Connection, name: str) -> None:
    """Run a file of SQL, whose statements are its paragraphs, without parameter substitution."""
    sql = files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    if connection.dialect.name == "postgresql":
        sql = sql.replace("public.", f"{connection.exec_driver_sql(TABLES_SCHEMA).scalar_one()}.")
        sql = sql.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")  # your own views on ours stay
    for statement in sql.split("\n\n"):
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
