"""Create the indexes for submission and for the history."""

from alembic import op

from gbench.cndb.schema import create_indexes

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_indexes(op.get_bind())
