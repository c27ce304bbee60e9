"""How far each rank of this host has come, in memory that it shares with the process that watches for a hang."""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

STACKS_SIGNAL = signal.SIGUSR2
BEATS, LIMIT, STEP = range(3)
FIELDS = 3
BYTES = 8  # of a field
PATIENCE_STEPS = 50  # a run that makes no step for as long as this many takes hangs, from measure.hang_seconds on
LONG_S = 1800.0  # the same for what is no step, and where a step compiles


def hang_limit_s(least_s: float, times: Sequence[float] = ()) -> float:
    """Seconds after which a run without a new step hangs; 0: never.

    Args:
        least_s: the spec's measure.hang_seconds.
        times: seconds of the last steps; none: what comes may take long.
    """
    if not least_s:
        return 0.0
    return max(least_s, PATIENCE_STEPS * statistics.median(times) if times else LONG_S)


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a rank."""

    count: int
    """Number of them so far, the same on every rank that is in the same place."""
    limit_s: float
    """Seconds within which the next one is due; 0: none is."""
    step: int
    """Completed steps."""


class Heartbeats:
    """One row of numbers a rank of this host, which only it writes; create it before the ranks are forked.

    first: number of the first of them.
    """

    def __init__(self, ranks: int, first: int = 0) -> None:
        self._first = first
        self._fields = memoryview(mmap.mmap(-1, ranks * FIELDS * BYTES)).cast("q")
        self._stacks = [os.memfd_create(f"stacks of rank {first + rank}") for rank in range(ranks)]

    def rank(self, rank: int) -> Heartbeat:
        """The row of one rank, for that rank."""
        return Heartbeat(self._row(rank), self._stacks[rank - self._first])

    def last(self, rank: int) -> Beat:
        count, limit_ms, step = self._row(rank)
        return Beat(count, limit_ms / 1000, step)

    def stacks_of(self, rank: int) -> str:
        """What STACKS_SIGNAL made the rank write."""
        file = self._stacks[rank - self._first]
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def _row(self, rank: int) -> memoryview[int]:
        place = (rank - self._first) * FIELDS
        return self._fields[place : place + FIELDS]


class Heartbeat:
    """Where a rank notes its progress. A note costs less than a microsecond and makes no system call.

    fields: its row. None: nobody watches.
    """

    def __init__(self, fields: memoryview[int] | None = None, stacks: int | None = None) -> None:
        self._fields, self._stacks = fields, stacks

    def write_stacks_on_signal(self) -> None:
        """From now on, STACKS_SIGNAL writes the Python stacks of all threads of this process, whatever it waits in."""
        if self._stacks is not None:
            faulthandler.register(STACKS_SIGNAL, self._stacks, all_threads=True)

    def beat(self, limit_s: float, step: int) -> None:
        """Note that this rank goes on, and that its next beat is due within `limit_s` seconds; 0: at any time.

        step: its completed steps.
        """
        if self._fields is not None:
            self._fields[LIMIT], self._fields[STEP] = int(limit_s * 1000), step
            self._fields[BEATS] += 1
