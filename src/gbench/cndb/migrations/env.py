"""Alembic's entry point: run the migrations on the connection of `gbench.cndb.schema`, in its transaction."""

from alembic import context

from gbench.cndb.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
