"""When a run may end: the interval of its throughput is narrow enough, over whole epochs, or its time is up."""

import time
from collections.abc import Callable, Iterable

from gbench.measure.bootstrap import next_check, precise_enough
from gbench.measure.measured_steps import MIN_CYCLES, Periods, measured_steps
from gbench.settings.model_config import ScheduleConfig


class StoppingRule:
    """Ends a run once its precision is reached or its time is up; call `start` with the first batch at hand.

    Args:
        schedule: its until_ci, max_time_s (counted from `start`), warmup_steps, max_warmup_steps and checkpoint_every.
        gather: this rank's step times -> those of every rank, of which the slowest give the result.
        steps_per_epoch: the run goes on until it has measured MIN_CYCLES whole epochs, or checkpoint periods if it has
            such. None: unknown.
    """

    def __init__(
        self,
        schedule: ScheduleConfig,
        gather: Callable[[list[float]], list[list[float]]] = lambda own: [own],
        now: Callable[[], float] = time.perf_counter,
        steps_per_epoch: int | None = None,
    ) -> None:
        self._schedule, self._gather, self._now, self._start_s = schedule, gather, now, now()
        self._periods = Periods.of(steps_per_epoch, schedule.checkpoint_every)
        self._check_at = schedule.warmup_steps + max(next_check(0), MIN_CYCLES * (self._periods.longest or 0))
        self._times: list[float] = []
        self._images: list[int] = []

    def start(self) -> None:
        """Start to count the time; it counts from the construction otherwise."""
        self._start_s = self._now()

    def reason(self, steps: Iterable[tuple[float, int]]) -> str | None:
        """Add further steps (seconds, images of all ranks) and return why the run should end now; None: continue.

        Every rank must call it after the same steps.
        """
        until_ci = self._schedule.until_ci
        if until_ci is not None:
            for seconds, images in steps:
                self._times.append(seconds)
                self._images.append(images)
            if len(self._times) >= self._check_at and self._is_precise(until_ci):
                return f"--until-ci of {until_ci:.3g} is reached"
        left_s = self.left_s()
        if left_s is not None and left_s <= 0:
            return f"--max-time of {self._schedule.max_time_s:g} s is up"
        return None

    def left_s(self) -> float | None:
        """Seconds left of max_time_s; None without a limit."""
        limit_s = self._schedule.max_time_s
        return None if limit_s is None else limit_s - (self._now() - self._start_s)

    def _is_precise(self, half_width_share: float) -> bool:
        """Whether the result of the steps so far would be precise enough."""
        self._check_at = next_check(len(self._times))
        ranks = self._gather(self._times)
        schedule = self._schedule
        found = measured_steps(ranks, schedule.warmup_steps, schedule.max_warmup_steps, self._periods)
        if not found.steady.settled or found.cycle != self._periods.longest:
            return False
        first = found.first
        times, images = ranks[found.slowest_rank][first:], self._images[first:]
        return precise_enough(times, images, half_width_share, cycle=found.cycle)
