"""Time a training loop without making it wait: marks on the device's own timeline, read after they have passed.

The marks form one chain. A step starts where the previous one ended, so no time is lost between steps; the time from
asking for its batch until the batch is loaded is its data wait; it ends when the device has finished its work. On a GPU
a mark is an event in the stream: the host may run ahead, and data wait counts only while the device idles. On a CPU a
mark is the time itself, since work is done when a call returns.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

DRIFT = 2e-4  # upper bound of the drift between the clocks of a GPU and the host, which is up to some ms a minute


@dataclass(frozen=True)
class StepTime:
    """Times of one step in seconds. The rest, step_s - data_s - between_s, is computing."""

    data_s: float
    """Wait for its batch."""
    step_s: float
    """The whole step."""
    end_s: float
    """Its end on the host's monotonic clock (CLOCK_MONOTONIC on Linux), comparable with telemetry."""
    ahead_s: float
    """From the host's last launch of the step to its end; near 0: the device waits for the host."""
    between_s: float
    """Idle time before its batch is requested: readings, log lines, checkpoints."""


class Marks(Protocol):
    """Marks points in time, and measures the time between them later."""

    def mark(self) -> Any:
        """Mark this moment; never waits."""

    def wait(self, mark: Any) -> bool:
        """Wait until a mark has passed; false if it already had."""

    def between(self, first: Any, second: Any) -> float:
        """Seconds from one mark to a later one; both have passed."""


class HostMarks:
    """Times of the host's monotonic clock, for devices whose work is done when a call returns."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now

    def mark(self) -> float:
        return self._now()

    def wait(self, mark: float) -> bool:
        """Never waits."""
        return False

    def between(self, first: float, second: float) -> float:
        return second - first


class CudaMarks:
    """Events in the current stream of a GPU. Waiting for one sleeps: torch's default would keep a core busy."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True, blocking=True)
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
    """Times steps back to back. marks: of the device that works. now: the host's monotonic clock, in seconds."""

    def __init__(self, marks: Marks, now: Callable[[], float] = time.perf_counter) -> None:
        self._marks, self._now = marks, now
        self._asked: Any = None
        self._batch_ready: Any = None
        # of each step not read yet: batch asked for (None: at the end of the previous step), loaded, end, handed over
        self._ends: list[tuple[Any, Any, Any, float]] = []

    def start(self) -> None:
        """Start the chain; the device must be idle."""
        self._last_end = self._marks.mark()
        self._marks.wait(self._last_end)
        self._last_end_s = self._now()
        self._asked = None

    def ask(self) -> None:
        """Mark that the batch of this step is requested; call it if the loop did anything else since the last step."""
        self._asked = self._marks.mark()

    def batch_ready(self) -> None:
        """Mark that the batch of this step is loaded."""
        self._batch_ready = self._marks.mark()

    def step_done(self) -> None:
        """Mark that the step is handed over to the device; the next one starts at its end."""
        self._ends.append((self._asked, self._batch_ready, self._marks.mark(), self._now()))
        self._asked = None

    def read(self) -> list[StepTime]:
        """Wait for the last step to end, and return the times of all steps since the last reading."""
        if not self._ends:
            return []
        last = self._ends[-1][2]
        if self._marks.wait(last):
            # the step ended now by the host's clock, or slightly earlier if this thread woke up late
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
    return CudaMarks(device) if device.type == "cuda" else HostMarks()


def clock_for(device: torch.device) -> StepClock:
    return StepClock(marks_for(device))
