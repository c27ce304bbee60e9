"""The current time in the format of every gbench file."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """The current time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
