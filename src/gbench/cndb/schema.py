"""Bring the schema of a database up to date, whether it is new or the original created it.

gbench adds indexes, triggers and dashboard views to the contract's tables. They disappear when the original's
`rebuild: 1` recreates the tables, or when somebody deletes them, although `gbench_migrations` still lists them. So look
them up by name, and recreate them.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from gbench.cndb import views
from gbench.cndb.database import connect_or_create, writing
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.tables import METADATA, RUN_ID, STARTED

VERSION_TABLE = "gbench_migrations"  # not Alembic's default name, which the original may use
# For submission: by run and by md5. For the history: by the time of its run or of storing, with the columns that it
# filters by.
INDEXES = {
    "gbench_run_id": "{run_id}",
    "gbench_md5": "md5",
    "gbench_ran": "{started}, create_at, id, model_id, device, train_exec_mode",
    "gbench_history": "create_at, id, model_id, device, train_exec_mode",
}
# Without train_results, no addition exists.
FOUND = {
    "postgresql": "WITH ours AS (SELECT oid, relname FROM pg_class WHERE relnamespace = "
    "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('train_results'))) "
    "SELECT relname FROM ours UNION ALL SELECT tgname FROM pg_trigger JOIN ours ON ours.oid = tgrelid",
    "sqlite": "SELECT name FROM sqlite_master",
}


def prepared(config: DatabaseConfig) -> tuple[Engine, str | None]:
    """Connect to a database for writing, creating and upgrading it as needed. Returns it and the warning of `upgrade`.

    Raises InfrastructureError: the connection failed. sqlalchemy.exc.SQLAlchemyError: the upgrade failed.
    """
    engine = connect_or_create(config)
    return engine, upgrade(engine)


def upgrade(engine: Engine) -> str | None:
    """Migrate the schema and restore missing additions.

    Returns a warning if the user lacks the privilege but the contract's tables exist.

    Raises sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    try:
        with engine.connect() as connection:
            if _is_complete(connection):
                return None
        with writing(engine, migrates=True) as connection:
            if not _is_complete(connection):  # another process may have done it meanwhile
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                restore(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient privilege
            raise
        with engine.connect() as connection:
            if not inspect(connection).has_table("train_results"):
                raise
        return "this user may not create gbench's indexes and views: everything works, but slower if they are missing"
    return None


def missing(connection: Connection) -> set[str]:
    """Names of the missing tables, indexes, triggers and views. Raises sqlalchemy.exc.SQLAlchemyError."""
    dialect = connection.dialect.name
    needed = {*METADATA.tables, *INDEXES, *views.names(dialect)}
    return needed - set(connection.exec_driver_sql(FOUND[dialect]).scalars())


def restore(connection: Connection) -> None:
    """Create what is missing, and keep the rest: other views may depend on ours. Raises as `missing`."""
    METADATA.create_all(connection, checkfirst=True)
    create_indexes(connection)
    gone = {name.removeprefix("gbench_") for name in missing(connection)}
    if gone & views.SUMMARY[connection.dialect.name]:
        views.create_summary(connection)
    views.create(connection, [view for view in views.VIEWS if view in gone])


def create_indexes(connection: Connection) -> None:
    """Create the missing indexes. Raises as `missing`."""
    dialect = connection.dialect.name
    unknown_first = " NULLS FIRST" if dialect == "postgresql" else ""  # as always in SQLite
    for name, columns in INDEXES.items():
        columns = columns.format(run_id=RUN_ID[dialect], started=f"{STARTED[dialect]}{unknown_first}")
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON train_results ({columns})")


def drop_all(engine: Engine) -> None:
    """Drop the contract's tables and everything that gbench added. Raises sqlalchemy.exc.SQLAlchemyError."""
    with writing(engine) as connection:
        views.drop(connection)
        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))


def _is_complete(connection: Connection) -> bool:
    """Whether nothing is missing; a schema of a later gbench counts as complete."""
    current = set(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads())
    steps = ScriptDirectory.from_config(_alembic())
    if not current <= {step.revision for step in steps.walk_revisions()}:
        return True
    return current == set(steps.get_heads()) and not missing(connection)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
