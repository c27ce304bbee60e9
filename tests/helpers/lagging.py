"""A device as the clock sees a GPU, on simulated time."""

from __future__ import annotations


class LaggingDevice:
    """A stream that does its work later than the host hands it over, as a GPU does.

    `work(seconds)` queues work; a mark passes when all work queued before it is done.

    Args:
        rate: seconds of the device's clock in one of the host's.

    Attributes:
        wakes_late_s: how long after a mark a host that waited for it goes on.
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
