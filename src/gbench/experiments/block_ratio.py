"""The ratio of two specs' figures from runs in blocks A B B A, and when enough blocks are done.

A block gives one value: the mean logarithm of its two B less that of its two A. A drift that is linear over the block
cancels in it exactly, and a slower wave nearly. Blocks are taken to be alike and independent, so their mean has
Student's t.

The interval is looked at after every block, and looking until it is narrow favours blocks that agree by luck. Two
things pay for that, found by simulation (benchmarks/ab.py; the table is in docs/ab.md): LEAST_BLOCKS come before the
first look, and the interval that is told as one of 95 % is Student's at LOOKING_LEVEL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from gbench.compare.change import RESOLUTION

BLOCK = 4  # runs, A B B A
LEAST_BLOCKS = 4
LOOKING_LEVEL = 0.965
MOST_LOG = 150.0  # of a ratio, and of its interval's half-width, 1e65: far beyond it is no number any more


@dataclass(frozen=True)
class Ratio:
    """B over A. low, high: ends of its 95 % interval; None below two blocks."""

    ratio: float
    low: float | None
    high: float | None
    blocks: int

    @property
    def half_width(self) -> float | None:
        """Of the interval, as a share of the ratio."""
        return None if self.low is None or self.high is None else math.sqrt(self.high / self.low) - 1

    def reached(self, until_ci: float) -> bool:
        """Whether the interval is as narrow as asked for, on enough blocks."""
        return self.blocks >= LEAST_BLOCKS and self.half_width is not None and self.half_width <= until_ci

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def block_logs(figures: Sequence[float]) -> list[float]:
    """Logarithm of B over A of each whole block, from all figures in the order of their runs."""
    logs = np.log(figures)
    whole = logs[: len(logs) // BLOCK * BLOCK].reshape(-1, BLOCK)
    return [float((b1 + b2 - a1 - a2) / 2) for a1, b1, b2, a2 in whole]


def ratio_of(logs: Sequence[float]) -> Ratio:
    """The ratio from at least one block's logarithm."""
    count, mean = len(logs), min(max(float(np.mean(logs)), -MOST_LOG), MOST_LOG)
    if count < 2:
        return Ratio(math.exp(mean), None, None, count)
    # Figures that agree to the last digit, such as a peak of memory, are not known to more than RESOLUTION.
    error = max(float(np.std(logs, ddof=1)), RESOLUTION) / math.sqrt(count)
    half_width = min(float(stdtrit(count - 1, (1 + LOOKING_LEVEL) / 2)) * error, MOST_LOG)
    return Ratio(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), count)
