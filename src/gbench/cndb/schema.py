"""Brings a database's schema up to date: a new one, or one that the original made."""

from __future__ import annotations

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

VERSION_TABLE = "gbench_migrations"  # the original may use Alembic too, under Alembic's own name


def prepared(config: DatabaseConfig) -> tuple[Engine, str | None]:
    """A database to write to, made and brought up to date as needed, with the warning of `upgrade`.

    Raises:
        InfrastructureError: it does not answer. sqlalchemy.exc.SQLAlchemyError: it refuses.
    """
    engine = connect_or_create(config)
    return engine, upgrade(engine)


def upgrade(engine: Engine) -> str | None:
    """Bring the schema up to date and complete; returns a warning where we may not, but can do without.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is down, refuses, or broke off.
    """
    try:
        with engine.connect() as connection:
            if _is_complete(connection):
                return None
        with writing(engine) as connection:
            if not _is_complete(connection):  # nobody else has done it meanwhile
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
    """Drop the contract's tables and all that gbench added. Raises sqlalchemy.exc.SQLAlchemyError."""
    with writing(engine) as connection:
        for view in inspect(connection).get_view_names():
            if view.startswith("gbench_"):
                connection.execute(text(f"DROP VIEW IF EXISTS {view}" + _cascade(connection)))
        views.drop(connection)  # what they stand on
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


def _cascade(connection: Connection) -> str:
    return " CASCADE" if connection.dialect.name == "postgresql" else ""
