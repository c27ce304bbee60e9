"""When a run has measured enough: asked as it goes, of the samples so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gbench.measure.bootstrap import next_check, precise_enough
from gbench.measure.steady import find_steady_state


class Enough:
    """Ends a run by the precision it has reached, or by its time.

    Args:
        until_ci: end when the half-width of throughput's 95 % interval is at most this share; None: never for that.
        max_time_s: end after this many seconds; None: never for that.
        warmup_steps: the least number of first steps that do not count.
        now: seconds on a monotonic clock, which starts to count here.
    """

    def __init__(
        self,
        until_ci: float | None,
        max_time_s: float | None,
        warmup_steps: int,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._until_ci, self._max_time_s, self._warmup_steps = until_ci, max_time_s, warmup_steps
        self._now, self._start_s = now, now()
        self._check_at = next_check(0) + warmup_steps
        self._times: list[float] = []
        self._images: list[int] = []

    def reason(self, steps: Iterable[tuple[float, int]]) -> str | None:
        """Take in further steps (seconds, images), and say why the run should end now, if it should."""
        if self._max_time_s is not None and self._now() - self._start_s >= self._max_time_s:
            return f"--max-time of {self._max_time_s:g} s is up"
        if self._until_ci is None:
            return None
        for seconds, images in steps:
            self._times.append(seconds)
            self._images.append(images)
        if len(self._times) < self._check_at:
            return None
        self._check_at = next_check(len(self._times))
        steady = find_steady_state(self._times, minimum=self._warmup_steps)
        first = steady.warmup_steps
        if steady.settled and precise_enough(self._times[first:], self._images[first:], self._until_ci):
            return f"--until-ci of {self._until_ci:.3g} is reached"
        return None
