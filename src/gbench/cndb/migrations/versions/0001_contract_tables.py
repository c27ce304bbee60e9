"""Create the contract's missing tables. They never change, so this step uses their current definition."""

from alembic import op

from gbench.cndb.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind(), checkfirst=True)
