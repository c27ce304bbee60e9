"""The time of day, as every file of gbench states it."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """The time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
