"""Create the summary and the views that read it, in place of views that compute every row."""

from contextlib import suppress

from alembic import op
from sqlalchemy.exc import DBAPIError

from gbench.cndb import views

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    connection = op.get_bind()
    views.create_summary(connection)
    views.create(connection)
    if connection.dialect.name == "postgresql":
        with suppress(DBAPIError), connection.begin_nested():  # your own views may use it
            connection.exec_driver_sql("DROP FUNCTION IF EXISTS gbench_rows()")
