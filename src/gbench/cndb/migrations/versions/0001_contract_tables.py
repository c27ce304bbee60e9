"""The contract's tables, where they are missing. They never change, so they are not repeated here."""

from __future__ import annotations

from alembic import op

from gbench.cndb.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind(), checkfirst=True)
