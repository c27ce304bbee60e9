"""Fewer points for a plot of many: means of stretches."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def averaged(x: Array, y: Array, points: int) -> tuple[Array, Array, Array, Array]:
    """At most so many points, each the mean of a stretch of consecutive ones: x, y, and the lowest and highest y."""
    starts = np.arange(0, len(x), math.ceil(len(x) / points))  # equal: a longer stretch would look like a change
    lengths = np.diff(starts, append=len(x))
    means = (np.add.reduceat(values, starts) / lengths for values in (x, y))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return (*means, low, high)  # type: ignore[return-value]
