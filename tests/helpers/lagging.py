"""A simulated GPU for the clock, on simulated time."""

from __future__ import annotations


class LaggingDevice:
    """A stream that does its work after the host has submitted it, as a GPU does.

    `work(seconds)` queues work; a mark passes when all work queued before it is done.

    Args:
        rate: seconds of the device's clock per second of the host's.

    Attributes:
        wakes_late_s: delay between a mark and the wake-up of a host that waits for it.
    """

    def __init__(self, rate: float = 1.0) -> None:
        self.rate, self.wakes_late_s = rate, 0.0
        self.host_s = 0.0
        self.free_s = 0.0  # when the device will have done all it was given
        self.waits = 0

    def work(self, seconds: float) -> None:
        self.free_s = max(self.free_s, self.host_s) + seconds

    def mark(self) -> float:
        return max(self.free_s, self.host_s)

    def wait(self, mark: float) -> bool:
        self.waits += 1
        if mark <= self.host_s:
            return False
        self.host_s = mark + self.wakes_late_s
        return True

    def between(self, first: float, second: float) -> float:
        return (second - first) * self.rate

    def now(self) -> float:
        return self.host_s
