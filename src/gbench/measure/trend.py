"""Levels in the history of a configuration: where its throughput changed, and by how much.

Each run is one value. The spread of runs within a level comes from the history: the interval of a single run covers the
variation of its steps, but not that of a restart, another node or the temperature.

1. A value more than 4 robust standard deviations from the median of its neighbours, two on each side, is clipped to
   that distance (Hampel 1974): a single outlier is not a level.
2. The change points of `gbench.measure.steady_state`: binary segmentation under first-order autocorrelation.
3. Adjacent levels within RELEVANT of each other are merged.
4. A last run that is far from its level, or that alone makes the last change, is not confirmed.

A pure function of its argument. Error rates on simulated histories: docs/reports.md.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from gbench.measure.steady_state import CLIP, PENALTY, RELEVANT, RESOLUTION, Floats, change_points

MIN_RUNS = 8  # fewer don't distinguish a change from chance
NEIGHBOURS = 2  # on each side


@dataclass(frozen=True)
class Level:
    """Runs `start` to `end` (exclusive) of a history, and their median."""

    start: int
    end: int
    median: float
    confirmed: bool = True
    """False: the last run alone, which may be odd."""


def levels(values: ArrayLike) -> list[Level]:
    """The levels of a history, oldest first; none without values.

    values: throughputs above 0, ordered by the start of the runs (1-d).
    """
    history = np.asarray(values, dtype=float)
    if len(history) < MIN_RUNS:
        return [_level(history, 0, len(history))] if len(history) else []
    calm, width = _calm(history)
    found = _confirmed(history, calm)
    odd = abs(history[-1] - found[-1].median) > max(width, RELEVANT * found[-1].median)
    if not odd and not (len(found) > 1 and _one_run_alone(history, *found[-2:])):
        return found
    last = _level(history, len(history) - 1, len(history))
    return [*_confirmed(history[:-1], _calm(history[:-1])[0]), replace(last, confirmed=False)]


def _confirmed(history: Floats, calm: Floats) -> list[Level]:
    floor = (RESOLUTION * _median(history)) ** 2
    cuts = change_points(calm, PENALTY + math.log(len(history)), floor)
    while True:
        found = [_level(history, *ends) for ends in pairwise([0, *cuts, len(history)])]
        steps = [abs(after.median / before.median - 1) for before, after in pairwise(found)]
        if not steps or min(steps) >= RELEVANT:
            return found
        del cuts[steps.index(min(steps))]


def _level(history: Floats, start: int, end: int) -> Level:
    return Level(start, end, _median(history[start:end]))


def _one_run_alone(history: Floats, before: Level, last: Level) -> bool:
    """Whether the runs of the last level but the last one are nearer to the level before it than to the last run."""
    rest = _median(history[last.start : -1])
    return abs(rest - before.median) < abs(float(history[-1]) - rest)


def _calm(history: Floats) -> tuple[Floats, float]:
    """The history with each run at most so far from the median of its neighbours; and that distance."""
    first = [_median(history[: place + NEIGHBOURS + 1]) for place in range(NEIGHBOURS)]
    last = [_median(history[-place - NEIGHBOURS - 1 :]) for place in reversed(range(NEIGHBOURS))]
    windows = np.lib.stride_tricks.sliding_window_view(history, 2 * NEIGHBOURS + 1)
    medians = np.concatenate([first, np.sort(windows, axis=1)[:, NEIGHBOURS], last])
    width = CLIP * 1.4826 * _median(np.abs(history - medians))
    return np.clip(history, medians - width, medians + width), width


def _median(values: Floats) -> float:
    """As numpy's, in a tenth of its time: a history has many configurations of few runs."""
    ordered, middle = np.sort(values), len(values) // 2
    return float(ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
