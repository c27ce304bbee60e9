"""Bring the schema of a database up to date, whether it is new or the original created it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from gbench.cndb import additions, views
from gbench.cndb.database import connect_or_create, writing
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.tables import METADATA

VERSION_TABLE = "gbench_migrations"  # not Alembic's default name, which the original may use


def prepared(config: DatabaseConfig) -> tuple[Engine, str | None]:
    """Connect to a database for writing, creating and upgrading it as needed. Returns it and the warning of `upgrade`.

    Raises:
        InfrastructureError: the connection failed. sqlalchemy.exc.SQLAlchemyError: the upgrade failed.
    """
    engine = connect_or_create(config)
    return engine, upgrade(engine)


def upgrade(engine: Engine) -> str | None:
    """Migrate the schema and restore missing additions.

    Returns a warning if the user lacks the privilege but the contract's tables exist.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    try:
        with engine.connect() as connection:
            if _is_complete(connection):
                return None
        with writing(engine) as connection:
            if not _is_complete(connection):  # another process may have done it meanwhile
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                additions.restore(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient privilege
            raise
        with engine.connect() as connection:
            if not inspect(connection).has_table("train_results"):
                raise
        return "this user may not create gbench's indexes and views: everything works, but slower if they are missing"
    return None


def drop_all(engine: Engine) -> None:
    """Drop the contract's tables and everything that gbench added. Raises sqlalchemy.exc.SQLAlchemyError."""
    with writing(engine) as connection:
        cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
        for view in inspect(connection).get_view_names():
            if view.startswith("gbench_"):
                connection.execute(text(f"DROP VIEW IF EXISTS {view}{cascade}"))
        views.drop(connection)  # and the function that they use
        METADATA.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))


def _is_complete(connection: Connection) -> bool:
    """Whether nothing is missing; a schema of a later gbench counts as complete."""
    current = set(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads())
    steps = ScriptDirectory.from_config(_alembic())
    if not current <= {step.revision for step in steps.walk_revisions()}:
        return True
    return current == set(steps.get_heads()) and not additions.missing(connection)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
