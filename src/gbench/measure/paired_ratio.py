"""Student's interval of a mean, and the ratio of paired measurements as a mean of logarithms.

Used for repeated runs (`spread.py`), the rounds of a tuning, and the blocks of `gbench ab`, which looks until the
interval is narrow, and raises its level for that (`experiments/block_ratio.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def t_quantile(probability: float, dof: float) -> float:
    """Quantile of Student's t with `dof` degrees of freedom (above 0, fractions included)."""
    from scipy.special import stdtrit  # here: it loads in 0.5 s, which neither --help nor a training needs

    return float(stdtrit(dof, probability))


def mean_interval(values: Sequence[float], level: float, least_std: float = 0.0) -> tuple[float, float]:
    """The mean of at least two independent values, and the half-width of its interval by Student's t.

    least_std: lower limit of the standard deviation, for values that agree to the last digit.
    """
    count = len(values)
    error = max(float(np.std(values, ddof=1)), least_std) / math.sqrt(count)
    return float(np.mean(values)), t_quantile((1 + level) / 2, count - 1) * error


@dataclass(frozen=True)
class PairedRatio:
    """Speed of one kind of block over another's: the geometric mean over rounds, and its 95 % interval."""

    ratio: float
    low: float
    high: float
    rounds: int


def ratio_of_rounds(rounds: Sequence[tuple[float, float]]) -> PairedRatio:
    """The first times over the second ones, of blocks in the order A B B A, so that a linear drift affects both alike.

    rounds: seconds of A's and of B's blocks in each of at least two rounds, with the same number of steps.
    """
    mean, half_width = mean_interval([math.log(first / second) for first, second in rounds], 0.95)
    return PairedRatio(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), len(rounds))
