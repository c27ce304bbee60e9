"""Alembic's entry: it runs the steps on the connection that `gbench.cndb.schema` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from gbench.cndb.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
