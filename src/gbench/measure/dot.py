"""The dot product of long series, in one thread.

OpenBLAS gives more than 10,000 elements to all cores. Its threads then wait for each other in a loop, for ten times the
time of the product, and the last digits of the sum depend on the number of cores.
"""

import numpy as np
from numpy.typing import NDArray

ONE_THREAD = 10_000  # elements


def dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The sum of the products of two series (1-d, equally long)."""
    parts = (slice(start, start + ONE_THREAD) for start in range(0, len(one), ONE_THREAD))
    return sum(float(one[part] @ other[part]) for part in parts)
