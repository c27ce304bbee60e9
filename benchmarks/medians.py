"""A median with its interval, for the benchmarks that compare two things in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Median(NamedTuple):
    """With a 95 % interval by order statistics, which supposes nothing of the distribution."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Median:
        """The median of independent values; with few of them the interval is all that they span."""
        ordered = sorted(values)
        middle, beside = len(ordered) // 2, math.ceil(0.98 * math.sqrt(len(ordered)))
        low, high = ordered[max(0, middle - beside)], ordered[min(len(ordered) - 1, middle + beside)]
        return cls(statistics.median(ordered), low, high)
