"""Timing a training loop: one unbroken chain of intervals, so that no time between two steps is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step: waiting for its batch, and all of it (that wait included) until the device had finished."""

    data_s: float
    step_s: float


class StepClock:
    """Times steps back to back: a step starts where the one before it ended.

    Args:
        synchronize: waits until the device has done all its work.
        now: seconds on a monotonic clock.
    """

    def __init__(self, synchronize: Callable[[], None], now: Callable[[], float] = time.perf_counter) -> None:
        self._synchronize, self._now = synchronize, now
        self._batch_ready = self._start = 0.0

    def start(self) -> None:
        """Start the chain."""
        self._synchronize()
        self._start = self._now()

    def batch_ready(self) -> None:
        """The batch of this step is at hand: what passed until now was data wait."""
        self._batch_ready = self._now()

    def step_done(self) -> StepTime:
        """Wait for the device and end this step; the next one starts here."""
        self._synchronize()
        end = self._now()
        taken = StepTime(data_s=self._batch_ready - self._start, step_s=end - self._start)
        self._start = end
        return taken
