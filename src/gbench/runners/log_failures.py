"""Failures of the machine that a line of a run's output shows."""

import re

# Pattern of a run script's output when the machine is at fault; the reason; what to do.
FAILURES: tuple[tuple[str, str, str], ...] = (
    (
        r"shared memory\(shm\)|out of shared memory|Bus error",
        "it ran out of shared memory",
        "load without it: --set data.workers=0; on the host enlarge it: sudo mount -o remount,size=64g /dev/shm",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some space, or choose another --results; the log above names what could not be written",
    ),
)


def known_log_failure(line: str) -> tuple[str, str] | None:
    """Reason and hint if a line of a failed run's output shows a failure of the machine, else None."""
    for pattern, reason, hint in FAILURES:
        if re.search(pattern, line):
            return reason, hint
    return None
