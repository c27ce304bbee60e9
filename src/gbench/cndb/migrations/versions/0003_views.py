"""The views, which 0004 creates anew."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    pass
