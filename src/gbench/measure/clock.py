"""Timing a training loop without making it wait: marks on the device's own timeline, read when they have passed.

The marks form one chain. A step starts where the one before it ended, so no time falls between two steps; what passes
from asking for its batch until that is at hand is its data wait; it ends when the device has done its work. On a GPU a
mark is an event in the stream: the host may run ahead, and waiting for data shows only where the device really stood
idle. On a processor a mark is the time itself, since the work is done when the call returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

DRIFT = 2e-4  # more than a GPU's clock drifts from the host's, which is up to some ms a minute


@dataclass(frozen=True)
class StepTime:
    """One step. data_s: seconds of waiting for its batch; step_s: seconds of all of it; end_s: its end on the host's
    monotonic clock (CLOCK_MONOTONIC on Linux), to hold against other records of that time; ahead_s: how long before
    that the host had handed all its work over (near 0: the device waits for the host); between_s: seconds of it before
    its batch was asked for, in which the device stood idle for what the loop did besides (readings, log lines,
    checkpoints). What is left, step_s - data_s - between_s, is computing."""

    data_s: float
    step_s: float
    end_s: float
    ahead_s: float
    between_s: float


class Marks(Protocol):
    """A way to mark moments and to tell, later, how far apart they were."""

    def mark(self) -> Any:
        """Mark this moment; never waits."""

    def wait(self, mark: Any) -> bool:
        """Wait until a mark has passed; false where it had passed before."""

    def between(self, first: Any, second: Any) -> float:
        """Seconds from one mark to a later one; both have passed."""


class HostMarks:
    """Moments of the host's monotonic clock, for devices whose work is done when a call returns."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now

    def mark(self) -> float:
        return self._now()

    def wait(self, mark: float) -> bool:
        """Has passed when it was made."""
        return False

    def between(self, first: float, second: float) -> float:
        return second - first


class CudaMarks:
    """Events in the current stream of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def wait(self, mark: torch.cuda.Event) -> bool:
        passed: bool = mark.query()
        mark.synchronize()
        return not passed

    def between(self, first: torch.cuda.Event, second: torch.cuda.Event) -> float:
        milliseconds: float = first.elapsed_time(second)
        return milliseconds / 1000


class StepClock:
    """Times steps back to back.

    Args:
        marks: how moments are marked on the device that does the work.
        now: the host's monotonic clock, in seconds.
    """

    def __init__(self, marks: Marks, now: Callable[[], float] = time.perf_counter) -> None:
        self._marks, self._now = marks, now
        self._asked: Any = None
        self._batch_ready: Any = None
        # of each step not yet read: batch asked for (None: at the end of the step before), at hand, end, handed over
        self._ends: list[tuple[Any, Any, Any, float]] = []

    def start(self) -> None:
        """Start the chain, with the device at rest."""
        self._last_end = self._marks.mark()
        self._marks.wait(self._last_end)
        self._last_end_s = self._now()
        self._asked = None

    def ask(self) -> None:
        """The batch of this step is asked for now; call it where the loop did anything else since the last step."""
        self._asked = self._marks.mark()

    def batch_ready(self) -> None:
        """The batch of this step is at hand."""
        self._batch_ready = self._marks.mark()

    def step_done(self) -> None:
        """All work of this step has been handed to the device; the next one starts at its end."""
        self._ends.append((self._asked, self._batch_ready, self._marks.mark(), self._now()))
        self._asked = None

    def read(self) -> list[StepTime]:
        """Wait for the last step to end, and give the times of all steps since the last reading."""
        if not self._ends:
            return []
        last = self._ends[-1][2]
        if self._marks.wait(last):
            # it ends now by the host's clock, or just before, where this thread woke up late
            took_s = self._marks.between(self._last_end, last)
            self._last_end_s = min(self._now() - took_s, self._last_end_s + DRIFT * took_s)
        times = []
        for asked, ready, end, handed_s in self._ends:
            step_s = self._marks.between(self._last_end, end)
            self._last_end_s += step_s
            between_s = 0.0 if asked is None else self._marks.between(self._last_end, asked)
            data_s = self._marks.between(self._last_end if asked is None else asked, ready)
            times.append(StepTime(data_s, step_s, self._last_end_s, self._last_end_s - handed_s, between_s))
            self._last_end = end
        self._ends.clear()
        return times


def marks_for(device: torch.device) -> Marks:
    """How moments are marked on a device."""
    return CudaMarks(device) if device.type == "cuda" else HostMarks()


def clock_for(device: torch.device) -> StepClock:
    """The clock of a device."""
    return StepClock(marks_for(device))
