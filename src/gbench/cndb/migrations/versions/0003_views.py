"""Create the views for dashboards."""

from alembic import op

from gbench.cndb import views

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    views.drop(op.get_bind())
    views.create(op.get_bind())
