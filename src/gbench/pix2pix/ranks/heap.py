"""Keep freed memory in the process.

By default glibc gives large blocks back to the kernel when they are freed, and a step on a CPU frees all its feature
maps: the next step would get their pages again one fault at a time, each page cleared first.
"""

import ctypes
import os
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
NEVER = -1
MMAP_THRESHOLDS = (1 << 30, 32 << 20)  # bytes; before 2.35 glibc takes 32 MiB at most
ONES_OWN = ("MALLOC_", "GLIBC_TUNABLES")


def keep_freed_memory(environ: Mapping[str, str] = os.environ) -> dict[str, int] | None:
    """Set glibc's malloc not to return memory before the process ends; returns what was set, in bytes, -1: never.

    None: nothing was set, since another C library has no such settings, or `environ` has the user's own.
    """
    if any(name.startswith(ONES_OWN) for name in environ):
        return None
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return None
    for threshold in MMAP_THRESHOLDS:
        if mallopt(M_MMAP_THRESHOLD, threshold):
            mallopt(M_TRIM_THRESHOLD, NEVER)
            return {"mmap_threshold": threshold, "trim_threshold": NEVER}
    return None
