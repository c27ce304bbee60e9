"""How much faster one of two kinds of block is than the other, when they took turns.

Blocks in the order A B B A (then B A A B): a drift of the machine that is linear over a round falls on both alike. Each
round gives one logarithm of a ratio; rounds are taken as independent, and their mean has Student's interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gbench.measure.spread import RunMean, repeats_variance


@dataclass(frozen=True)
class Ratio:
    """How many times as fast: geometric mean over rounds, and its 95 % interval."""

    ratio: float
    low: float
    high: float
    rounds: int


def ratio_of(rounds: Sequence[tuple[float, float]], level: float = 0.95) -> Ratio:
    """The ratio of the first times to the second ones: above 1, the second kind is faster.

    Args:
        rounds: seconds of A's blocks and of B's in each of at least two rounds, of as many steps each.
    """
    found = repeats_variance([RunMean(math.log(base / other), 0.0, 1.0) for base, other in rounds], level)
    assert found.low is not None and found.high is not None, "one round tells no spread"
    return Ratio(math.exp(found.mean), math.exp(found.low), math.exp(found.high), len(rounds))
