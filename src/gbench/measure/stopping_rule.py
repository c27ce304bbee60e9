"""When a run has measured enough: asked as it goes, of the samples so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gbench.measure.bootstrap import next_check, precise_enough
from gbench.measure.steady_state import judge_ranks


class Enough:
    """Ends a run by the precision it has reached, or by its time.

    Args:
        until_ci: end when the half-width of throughput's 95 % interval is at most this share; None: never for that.
        max_time_s: end after this many seconds; None: never for that.
        warmup_steps, max_warmup_steps: the least and the most first steps that do not count (None: half of the run).
        gather: gives the step times of every rank for those of this one; called at the same step on every rank. The
            result is by the slowest rank's clock, and so is its interval.
        now: seconds on a monotonic clock, which starts to count here.
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

    def reason(self, steps: Iterable[tuple[float, int]]) -> str | None:
        """Take in further steps (seconds, images of all ranks), and say why the run should end now, if it should.

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
        """Seconds that are left of the time given; None where none was."""
        return None if self._max_time_s is None else self._max_time_s - (self._now() - self._start_s)

    def _is_precise(self, half_width_share: float) -> bool:
        """Judge the steps so far as the result would be judged."""
        self._check_at = next_check(len(self._times))
        ranks = self._gather(self._times)
        steady, slowest = judge_ranks(ranks, self._warmup_steps, self._max_warmup_steps)
        first = steady.warmup_steps
        return steady.settled and precise_enough(ranks[slowest][first:], self._images[first:], half_width_share)
