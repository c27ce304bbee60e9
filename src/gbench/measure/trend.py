"""Levels in the history of a configuration: where its throughput changed, and by how much.

Each run is one value. The spread of runs within a level comes from the history: the interval of a single run covers the
variation of its steps, but not that of a restart, another node or the temperature.

1. A value more than 4 robust standard deviations from the median of its neighbours, two on each side, is clipped to
   that distance (Hampel 1974): a single outlier is not a level.
2. The change points of `gbench.measure.steady_state`: binary segmentation under first-order autocorrelation.
3. Adjacent levels within RELEVANT of each other are merged.

A pure function of its argument. Error rates on simulated histories: docs/reports.md.
"""

import math
from dataclasses import dataclass
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


def levels(values: ArrayLike) -> list[Level]:
    """The levels of a history, oldest first; none without values.

    values: throughputs above 0, ordered by the start of the runs (1-d).
    """
    history = np.asarray(values, dtype=float)
    if not len(history):
        return []
    cuts = _changes(history) if len(history) >= MIN_RUNS else []
    while True:
        found = [
            Level(start, end, float(np.median(history[start:end])))
            for start, end in zip([0, *cuts], [*cuts, len(history)], strict=True)
        ]
        steps = [abs(after.median / before.median - 1) for before, after in pairwise(found)]
        if not steps or min(steps) >= RELEVANT:
            return found
        del cuts[steps.index(min(steps))]


def _changes(history: Floats) -> list[int]:
    medians = np.array(
        [np.median(history[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]) for place in range(len(history))]
    )
    width = CLIP * 1.4826 * float(np.median(np.abs(history - medians)))
    drawn_in = np.clip(history, medians - width, medians + width)
    floor = (RESOLUTION * float(np.median(history))) ** 2
    return change_points(drawn_in, PENALTY + math.log(len(history)), floor)
