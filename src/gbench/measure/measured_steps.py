"""Which steps of a run are measured: those after its warm-up, and of them whole epochs or checkpoint periods.

What returns once an epoch (a new iterator, a last batch of another size, a checkpoint) is in the figure as often as in
a long run only if whole cycles are counted. Fewer than two don't show that it returns, and are all measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gbench.measure.bootstrap import MIN_STEPS
from gbench.measure.steadiness import judge_steadiness
from gbench.measure.steady_state import SteadyState

MIN_CYCLES = 2


@dataclass(frozen=True)
class Periods:
    """Steps after which something returns; None: it does not, or they are unknown."""

    epoch: int | None = None
    checkpoint: int | None = None

    @classmethod
    def of(cls, steps_per_epoch: int | None, checkpoint_every: int) -> "Periods":
        """checkpoint_every: epochs between checkpoints; 0: none."""
        return cls(steps_per_epoch, (steps_per_epoch or 0) * checkpoint_every or None)

    @property
    def longest(self) -> int | None:
        return self.checkpoint or self.epoch


@dataclass(frozen=True)
class MeasuredSteps:
    steady: SteadyState
    first: int
    """Index of the first one."""
    slowest_rank: int
    """By the sum of its measured steps."""
    cycle: int | None
    """Steps of a cycle, of which they are at least MIN_CYCLES whole ones; None: they are not."""

    @property
    def reason(self) -> str:
        """Why the steps before are left out, and whether the run is steady."""
        more = self.first - self.steady.warmup_steps
        return self.steady.reason + (f"; {more} more left out, to measure whole cycles of {self.cycle}" if more else "")


def measured_steps(
    ranks: Sequence[ArrayLike], minimum: int, maximum: int | None, periods: Periods = Periods()
) -> MeasuredSteps:
    """Choose the measured steps of a run on several ranks, which share one warm-up, as they wait for each other.

    Args:
        ranks: step times of one length. minimum, maximum: as of `judge_steadiness`, which gets their means.
        periods: of which the longest one that was seen often enough is the cycle.
    """
    times = np.asarray(ranks, dtype=float)
    steady = judge_steadiness(times.mean(axis=0), minimum, maximum)
    first, cycle = steady.warmup_steps, None
    after = times.shape[1] - first
    for steps in (periods.checkpoint, periods.epoch):
        if steps and after - after % steps >= max(MIN_CYCLES * steps, MIN_STEPS):
            first, cycle = first + after % steps, steps
            break
    return MeasuredSteps(steady, first, int(times[:, first:].sum(axis=1).argmax()), cycle)
