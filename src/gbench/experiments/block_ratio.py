"""The ratio of two specs' figures from blocks of four runs, A B B A or B A A B, and when there are enough blocks.

A block gives one value: the mean logarithm of its two B minus that of its two A. A drift that is linear over the block
cancels exactly, a slow oscillation almost. Where A B B A and B A A B follow each other as in the Thue-Morse sequence,
the curve of a drift and a wave of 4 runs cancel between blocks: of 2^n runs, a polynomial of degree n - 1 (Prouhet,
1851). Blocks are assumed to be independent and identically distributed.

`gbench ab` checks the interval after every block until it is narrow, which favours blocks that agree by chance. Two
rules found by simulation compensate for this (benchmarks/ab.py; table in docs/ab.md): the first check comes after
LEAST_BLOCKS blocks, and the reported 95 % interval is Student's at LOOKING_LEVEL.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gbench.compare.change import RESOLUTION
from gbench.measure.paired_ratio import mean_interval

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
BLOCK = 4  # runs
LEAST_BLOCKS = 4
LOOKING_LEVEL = 0.965
MOST_LOG = 150.0  # limit of a ratio and of its interval's half-width (1e65), below overflow


@dataclass(frozen=True)
class BlockRatio:
    """The ratio B over A, with its uncertainty."""

    ratio: float
    low: float | None
    """Lower bound of the 95 % interval; None below two blocks."""
    high: float | None
    blocks: int

    @property
    def half_width(self) -> float | None:
        """Half-width of the interval as a share of the ratio."""
        return None if self.low is None or self.high is None else math.sqrt(self.high / self.low) - 1

    def reached(self, until_ci: float) -> bool:
        """Whether there are enough blocks, and the interval's half-width is at most `until_ci`."""
        return self.blocks >= LEAST_BLOCKS and self.half_width is not None and self.half_width <= until_ci

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def block_logs(figures: Sequence[float], sides: Sequence[Side]) -> list[float]:
    """Logarithm of B over A for each complete block. figures, sides: one per run, in order."""
    logs = np.log(figures) * [1 if side == "B" else -1 for side in sides]
    whole = logs[: len(logs) // BLOCK * BLOCK].reshape(-1, BLOCK)
    return [float(value) for value in whole.sum(axis=1) / 2]


def ratio_of_blocks(logs: Sequence[float]) -> BlockRatio:
    """The ratio from the logarithms of at least one block."""
    if len(logs) < 2:
        return BlockRatio(math.exp(_limited(logs[0])), None, None, 1)
    # Figures that agree to the last digit, such as peak memory, are no more precise than RESOLUTION.
    mean, half_width = map(_limited, mean_interval(logs, LOOKING_LEVEL, RESOLUTION))
    return BlockRatio(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), len(logs))


def _limited(log: float) -> float:
    return min(max(log, -MOST_LOG), MOST_LOG)
