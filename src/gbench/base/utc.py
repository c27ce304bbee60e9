"""Times in the format of every gbench file."""

import re
from datetime import datetime, timezone


def utc_now() -> str:
    """The current time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def time_of(text: object) -> datetime | None:
    """The time that an ISO 8601 text gives, in UTC if it has no zone; None if it is none."""
    try:
        time = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", str(text)))  # Python 3.10 takes no Z
        return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):  # OverflowError: beyond the first or last year in UTC
        return None
