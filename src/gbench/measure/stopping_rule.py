"""When a run may end: the interval of its throughput is narrow enough, or its time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gbench.measure.bootstrap import next_check, precise_enough
from gbench.measure.steady_state import judge_ranks


class StoppingRule:
    """Ends a run once its precision is reached or its time is up; call `start` with the first batch at hand.

    Args:
        until_ci: end when the half-width of the 95 % interval of the throughput is at most this share; None: no limit.
        max_time_s: end this many seconds after `start`; None: no limit.
        warmup_steps, max_warmup_steps: fewest and most first steps to leave out (None: half of the run).
        gather: maps the step times of this rank to those of every rank; every rank calls it at the same step. The
            slowest rank's times give the result, and so the interval.
        now: monotonic clock in seconds.
    """

    def __init__(
        self,
        until_ci: float | None,
        max_time_s: float | None,
        warmup_steps: int,
        max_warmup_steps: int | None = None,
        gather: Callable[[list[float]], list[list[float]]] = lambda own: [own],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._until_ci, self._max_time_s = until_ci, max_time_s
        self._warmup_steps, self._max_warmup_steps = warmup_steps, max_warmup_steps
        self._gather, self._now, self._start_s = gather, now, now()
        self._check_at = next_check(0) + warmup_steps
        self._times: list[float] = []
        self._images: list[int] = []

    def start(self) -> None:
        """Start to count the time; it counts from the construction otherwise."""
        self._start_s = self._now()

    def reason(self, steps: Iterable[tuple[float, int]]) -> str | None:
        """Add further steps (seconds, images of all ranks) and return why the run should end now; None: continue.

        Every rank must call it after the same steps.
        """
        if self._until_ci is not None:
            for seconds, images in steps:
                self._times.append(seconds)
                self._images.append(images)
            if len(self._times) >= self._check_at and self._is_precise(self._until_ci):
                return f"--until-ci of {self._until_ci:.3g} is reached"
        if self._max_time_s is not None and self._now() - self._start_s >= self._max_time_s:
            return f"--max-time of {self._max_time_s:g} s is up"
        return None

    def left_s(self) -> float | None:
        """Seconds left of max_time_s; None without a limit."""
        return None if self._max_time_s is None else self._max_time_s - (self._now() - self._start_s)

    def _is_precise(self, half_width_share: float) -> bool:
        """Whether the result of the steps so far would be precise enough."""
        self._check_at = next_check(len(self._times))
        ranks = self._gather(self._times)
        steady, slowest = judge_ranks(ranks, self._warmup_steps, self._max_warmup_steps)
        first = steady.warmup_steps
        return steady.settled and precise_enough(ranks[slowest][first:], self._images[first:], half_width_share)
