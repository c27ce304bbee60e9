"""Which processes use the CPUs. The first look may begin early: a launch loads its modules while it lasts.

Imports nothing heavy, so that a command can begin with it.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

BUSY_PERCENT = 5.0  # of one CPU, as in launch.sh
SAMPLE_S = 0.5
LONGEST_S = 2.0  # of a look that began early; more would say too little of the present


class Look:
    """The CPU time that processes use from now on."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self._began_s, self._processes = time.monotonic(), list[psutil.Process]()
        for process in processes:
            with suppress(psutil.Error):
                process.cpu_percent()  # starts its clock
                self._processes.append(process)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_s

    def busy(self) -> dict[psutil.Process, float]:
        """The other processes that used more than BUSY_PERCENT of a CPU for SAMPLE_S or longer, and how much."""
        time.sleep(max(0.0, SAMPLE_S - self.seconds))
        used = {}
        for process in self._processes:
            with suppress(psutil.Error):
                percent = process.cpu_percent()
                if percent > BUSY_PERCENT and process.pid != os.getpid():
                    used[process] = percent
        return used


_early: list[Look] = []


def look_ahead() -> None:
    """Begin the first look of the next `busy_now`, unless it has begun."""
    if not _early:
        _early.append(Look(psutil.process_iter()))


def busy_now() -> tuple[dict[psutil.Process, float], float]:
    """The processes that are busy in two looks in a row, so that a short burst is ignored; seconds of the last one.

    Returns percent of a CPU by process.
    """
    look = _early.pop() if _early else None
    if look is None or look.seconds > LONGEST_S:
        look = Look(psutil.process_iter())
    busy, seconds = look.busy(), look.seconds
    if not busy:
        return busy, seconds
    again = Look(busy)
    return again.busy(), again.seconds
