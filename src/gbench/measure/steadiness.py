"""Whether a run is steady: the warm-up that may be left out, the speeds that were seen, and the drift that is left.

On the levels of `gbench.measure.steady_state`:

1. Warm-up is what was slower than everything after it. A level that was faster, or that returns, is a state of the
   machine (its clock, a neighbour): it is measured, and the run is not steady.
2. Steady is a tail at one level, without a drift. A drift is a line that fits better than the levels, or a slope whose
   99 % interval lies outside +-RELEVANT. Its 95 % interval is reported in any case, and goes into the words where it
   is so wide that the noise would hide a drift of HIDDEN.

A pure function of its arguments. Error rates on simulated runs: docs/statistics.md.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from gbench.measure.bootstrap import rounded, tabled_t_quantile
from gbench.measure.dot import dot
from gbench.measure.steady_state import (
    FOREIGN,
    MIN_STEPS,
    RELEVANT,
    Floats,
    Segments,
    SteadyState,
    find_steady_state,
    fit,
    line,
    other_levels,
    segments,
)
from gbench.runfolder.run_result import Drift, Speed

HIDDEN = 0.1  # share of a drift that a run must be able to show to be called steady without a qualification
SURE = 0.99  # level of the interval that must exclude +-RELEVANT
LEVEL = 0.95  # of the reported interval
FEWEST = 8  # steps that a drift is looked for in


def judge_steadiness(step_s: ArrayLike, minimum: int = 0, maximum: int | None = None) -> SteadyState:
    """Judge a run by its step times (1-d, seconds, warm-up included). Arguments and errors as `find_steady_state`."""
    times = np.asarray(step_s, dtype=float)
    judged = times[minimum:]
    if len(judged) < MIN_STEPS or (maximum is not None and maximum < minimum):
        return find_steady_state(times, minimum, maximum)
    bound = max(minimum, len(times) // 2) if maximum is None else maximum
    found = segments(judged)
    levels = np.array([np.median(part) for part in np.split(judged, found.cuts)])
    lengths = np.diff([*found.starts, len(judged)])
    tail = _warm_up_levels(levels, lengths)
    start = found.starts[tail]
    level = float(np.median(judged[start:]))
    foreign = int(lengths[tail:][np.abs(levels[tail:] - level) > RELEVANT * level].sum())
    while start < len(judged) - 1 and judged[start] - level > found.width:
        start += 1
    warmup = minimum + start
    left, speeds = min(warmup, bound) - minimum, _speeds(levels, lengths)
    drift, surely = _drift(found, left)
    drifting, settled = found.drift(tail, start) is not None, False
    if foreign > FOREIGN * (len(judged) - found.starts[tail]) and not drifting:
        left = 0
        drift, _ = _drift(found, left)
        reason = "the speed changed, and not as a warm-up does: nothing but the minimum is left out; speeds seen: "
        reason += ", ".join(speed.text for speed in speeds)
    elif warmup > bound:
        reason = f"not steady before step {warmup + 1} of {len(times)}, where warm-up may take {bound} steps"
    elif drifting or surely:
        reason = f"step time drifts by {drift.text}" if drift else "step time drifts to the end"
    else:
        settled, reason = True, _steady_in_words(judged, start, warmup, level, foreign, drift)
    return SteadyState(minimum + left, settled, reason, drift, speeds)


def _warm_up_levels(levels: Floats, lengths: Floats) -> int:
    """How many levels at the start were slower than all but FOREIGN of the steps after them."""
    for tail in range(len(levels) - 1):
        later = lengths[tail + 1 :]
        as_slow = later[levels[tail + 1 :] >= levels[tail] / (1 + RELEVANT)].sum()
        if as_slow > FOREIGN * later.sum():
            return tail
    return len(levels) - 1


def _drift(found: Segments, start: int) -> tuple[Drift | None, bool]:
    """The drift of the clipped steps from `start` on, None for too few, and whether it is surely more than RELEVANT.

    Least squares; the standard error is that under first-order autocorrelation.
    """
    times = found.clipped[start:]
    count, level = len(times), float(times.mean())
    if count < FEWEST:
        return None, False
    residual, change = line(times)
    fitted = fit(residual, 2, found.floor)
    place = np.linspace(-0.5, 0.5, count)
    variance = fitted.variance * count / (count - 2)
    error = math.sqrt(variance / dot(place, place)) / (1 - fitted.phi)
    dof = max(1.0, count * (1 - fitted.phi) / (1 + fitted.phi) - 2)
    reported, sure = (tabled_t_quantile((1 + confidence) / 2, dof) * error for confidence in (LEVEL, SURE))
    low, high = (change - reported) / level, (change + reported) / level
    return Drift(rounded(change / level), rounded(low), rounded(high)), abs(change) - sure > RELEVANT * level


def _steady_in_words(judged: Floats, start: int, warmup: int, level: float, foreign: int, drift: Drift | None) -> str:
    if drift is None:
        reason = f"no change seen from step {warmup + 1} on, in only {len(judged) - start} steps"
    elif drift.reach <= HIDDEN:
        reason = f"steady from step {warmup + 1} on"
    else:
        reason = f"no change seen from step {warmup + 1} on, but the noise would hide a drift of {drift.reach:.0%}"
    return reason + other_levels(judged, start, level, foreign)


def _speeds(levels: Floats, lengths: Floats) -> list[Speed]:
    """Levels within RELEVANT of each other as one."""
    merged: list[tuple[float, int]] = []
    for level, length in zip(levels.tolist(), lengths.tolist(), strict=True):
        for place, (step_s, steps) in enumerate(merged):
            if abs(level - step_s) <= RELEVANT * step_s:
                merged[place] = step_s, steps + length
                break
        else:
            merged.append((level, length))
    return [Speed(step_s, steps) for step_s, steps in merged if steps > FOREIGN * lengths.sum()]
