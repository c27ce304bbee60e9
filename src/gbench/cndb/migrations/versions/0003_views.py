"""Do nothing: 0004 creates the views."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    pass
