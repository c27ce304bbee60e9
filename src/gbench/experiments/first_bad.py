"""Which commit changed a figure, from noisy blocks: the probability of each, and the commit to measure next.

Each block is the logarithm of a commit's figure over GOOD's, normal around 0 before the change and around the mean of
BAD's blocks from the change on. All commits are equally likely at first, any mean of BAD and any logarithm of the
standard deviation too; Bayes' rule does the rest (a noisy binary search: Burnashev and Zigangirov 1974). Error rates on
simulated histories: docs/ab.md.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gbench.compare.change import RESOLUTION
from gbench.experiments.block_ratio import LEAST_BLOCKS, ratio_of_blocks
from gbench.measure.steady_state import Floats

SURE = 0.95
MEANS = np.linspace(-6, 6, 49)  # of BAD, in standard errors from that of its blocks
DEVIATIONS = np.exp(np.linspace(-1.5, 2.0, 36))  # of a block, as a multiple of that of BAD's blocks
MOST_BLOCKS = 8  # of one commit; then it lies between GOOD and BAD, and can't be judged


@dataclass(frozen=True)
class Suspects:
    """Neighbouring commits, one of which is the first bad one; nothing that can be measured separates them."""

    places: range
    probability: float


def probabilities(count: int, of_bad: Sequence[float], blocks: Mapping[int, Sequence[float]]) -> Floats:
    """Probability that a commit is the first bad one, for each of `count` commits, the oldest first; BAD is the last.

    of_bad: BAD's blocks, two at least. blocks: those of other commits, by their place.
    """
    mean, scale = float(np.mean(of_bad)), max(float(np.std(of_bad, ddof=1)), RESOLUTION)
    shift = mean + scale / len(of_bad) ** 0.5 * MEANS
    deviation = scale * DEVIATIONS
    likelihood = _log_likelihood(of_bad, shift, deviation)
    total = np.broadcast_to(likelihood, (count, *likelihood.shape)).copy()
    for place, logs in blocks.items():
        total[: place + 1] += _log_likelihood(logs, shift, deviation)
        total[place + 1 :] += _log_likelihood(logs, 0.0, deviation)
    chances = np.exp(total - total.max()).sum(axis=(1, 2))
    return np.asarray(chances / chances.sum(), dtype=float)


def told_apart(of_bad: Sequence[float]) -> bool:
    """Whether BAD's blocks are enough to judge other commits: their interval excludes half of the change."""
    if len(of_bad) < LEAST_BLOCKS:
        return False
    ratio = ratio_of_blocks(of_bad)
    half = ratio.ratio**0.5
    assert ratio.low is not None and ratio.high is not None
    return bool(ratio.low > half if half > 1 else ratio.high < half)


def suspects(chances: Floats, skipped: Collection[int]) -> Suspects:
    """The likeliest commits that nothing separates. skipped: places of commits that can't be measured."""
    ends = [place + 1 for place in range(len(chances) - 1) if place not in skipped]
    groups = [range(start, end) for start, end in zip([0, *ends], [*ends, len(chances)], strict=True)]
    return max(
        (Suspects(one, float(chances[one.start : one.stop].sum())) for one in groups), key=lambda one: one.probability
    )


def next_place(chances: Floats, skipped: Collection[int]) -> int | None:
    """The commit to measure: the one that is as likely good as bad. None: no commit is left."""
    bad = np.cumsum(chances)  # probability that a commit is bad
    places = [place for place in range(len(chances) - 1) if place not in skipped]
    return min(places, key=lambda place: abs(bad[place] - 0.5), default=None)


def _log_likelihood(logs: Sequence[float], mean: Floats | float, deviation: Floats) -> Floats:
    """Of normal values, for each mean (last axis) and standard deviation (the axis before)."""
    squares = ((np.asarray(logs)[:, None] - np.atleast_1d(mean)) ** 2).sum(axis=0)
    return np.asarray(-squares / (2 * deviation[:, None] ** 2) - len(logs) * np.log(deviation)[:, None])
