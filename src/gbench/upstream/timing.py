"""Throughput and step times from upstream's log lines, defined as for our own runs (docs/what-is-timed.md)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gbench.measure.spread import spread
from gbench.measure.steady_state import judge_ranks
from gbench.measure.summary import LEGACY_STEPS
from gbench.upstream.watch import TimedLine


@dataclass(frozen=True)
class Figures:
    """Images and steps per second over the steps after the warm-up."""

    throughput_img_s: float
    """From line to line, so including data wait, computing, printing and the start of epochs."""
    without_data_img_s: float
    """The same images over that time minus the `data` of the lines."""
    legacy_img_s: float | None
    """As launch.sh does: 1 / mean `time` of lines 3 to 7, which upstream prints to a millisecond per image; None if it
    is 0, or with fewer lines."""
    step_mean_s: float
    step_variance_s2: float
    step_p95_s: float
    data_share: float
    steps: int
    warmup_steps: int
    steady_state: bool
    steady_state_reason: str


def figures(lines: Sequence[TimedLine], batch_size: int, warmup_steps: int, max_warmup_steps: int | None) -> Figures:
    """The figures of a run from all of its lines, at least two.

    warmup_steps, max_warmup_steps: as in our own runs, but at least one, as no line shows the first step's start.
    """
    first = lines[0].line
    step_s = [first.compute_s * batch_size + first.data_s]
    step_s += [after.end_s - before.end_s for before, after in pairwise(lines)]
    steady, _ = judge_ranks([step_s], max(1, warmup_steps), max_warmup_steps)
    times = step_s[steady.warmup_steps :]
    wall_s, images = sum(times), batch_size * len(times)
    # printed times are rounded to a millisecond, so they may exceed a very short step
    data_s = min(sum(timed.line.data_s for timed in lines[steady.warmup_steps :]), 0.999 * wall_s)
    legacy = [timed.line.compute_s for timed in lines[LEGACY_STEPS]]
    has_legacy = len(legacy) == LEGACY_STEPS.stop - LEGACY_STEPS.start and sum(legacy) > 0
    return Figures(
        throughput_img_s=images / wall_s,
        without_data_img_s=images / (wall_s - data_s),
        legacy_img_s=1 / statistics.fmean(legacy) if has_legacy else None,
        step_mean_s=statistics.fmean(times),
        step_p95_s=spread(times).p95_s,
        step_variance_s2=statistics.variance(times) if len(times) > 1 else 0.0,
        data_share=data_s / wall_s,
        steps=len(times),
        warmup_steps=steady.warmup_steps,
        steady_state=steady.settled,
        steady_state_reason=steady.reason,
    )
