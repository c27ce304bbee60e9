"""Replace the view `gbench_trend`, whose rows stay the same, by one that takes less time."""

from alembic import op

from gbench.cndb import views

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    views.create(op.get_bind(), ["trend"])
