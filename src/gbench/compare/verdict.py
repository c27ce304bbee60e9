"""Regression, no regression, or too little to tell: the rule, for one figure and for all of them.

`threshold` is a slowdown that must be found. Two errors are held to ALPHA each, however noisy the machine: an alarm
where nothing got worse, and a pass where it got worse by the threshold. So, by confidence bounds at level 1 - ALPHA:

- an interval that excludes "no change" but not "worse by the threshold" is a regression,
- one that excludes "worse by the threshold" but not "no change" is none (an equivalence test, Schuirmann 1987),
- one that excludes both is what it is nearer to: a change that is real but small is no regression,
- one that excludes neither is inconclusive, and how many more runs would decide it is computed.

Several figures give several chances of a false alarm, so alarms share ALPHA by Holm's procedure (1979) with weights:
throughput, the headline, has FIRST_SHARE of it, the others the rest in equal parts. A pass needs no correction: all
must pass (an intersection-union test, Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from gbench.compare.change import Change
from gbench.compare.metrics import ComparedMetric

ALPHA = 0.01
FIRST_SHARE = 0.8
PLANNED_CHANCE = 0.8  # of a verdict after the number of runs that is said to be needed
MOST_RUNS = 1000  # beyond, no number is said
LARGEST = 700.0  # logarithm whose number a float still holds

Kind = Literal["regression", "no regression", "inconclusive"]


@dataclass(frozen=True)
class More:
    """Runs that would decide it, with PLANNED_CHANCE if the change is what it now looks like; None: over MOST_RUNS.

    each: further runs of BASE and of NEW alike. new: of NEW alone.
    """

    each: int | None
    new: int | None


@dataclass(frozen=True)
class Judged:
    """One figure. more: for an inconclusive one.

    surely_worse: "no change" is excluded, however small the loss. improved: it is on the other side, and the gain is
    nearer to the threshold than to nothing.

    ratio, low, high: NEW over BASE and its 95 % interval, in the figure's own direction.
    """

    metric: ComparedMetric
    change: Change
    verdict: Kind
    surely_worse: bool
    improved: bool
    ratio: float
    low: float
    high: float
    more: More | None


def judge(changes: Sequence[tuple[ComparedMetric, Change]], threshold: float) -> list[Judged]:
    """The verdict on each figure, the first being the headline.

    Args:
        threshold: share of 1 by which a figure gets worse that must be found.
    """
    weights = _weights(len(changes))
    worse = _holm([change.chance_above(0.0) for _, change in changes], weights)
    better = _holm([change.chance_below(0.0) for _, change in changes], weights)
    judged = []
    for (metric, change), weight, is_worse, is_better in zip(changes, weights, worse, better, strict=True):
        margin = metric.margin(threshold)
        nearer_to_worse = change.log <= -margin / 2
        verdict: Kind = "inconclusive"
        if is_worse and nearer_to_worse:
            verdict = "regression"
        elif change.chance_below(-margin) <= ALPHA:
            verdict = "no regression"
        ends = [end if metric.higher_is_better else -end for end in change.interval(0.95)]
        low, high = sorted(math.exp(min(end, LARGEST)) for end in ends)
        judged.append(
            Judged(
                metric=metric,
                change=change,
                verdict=verdict,
                surely_worse=is_worse,
                improved=is_better and change.log >= margin / 2,
                ratio=change.new / change.base,
                low=low,
                high=high,
                more=_more(change, margin, weight * ALPHA) if verdict == "inconclusive" else None,
            )
        )
    return judged


def overall(judged: Sequence[Judged], named: bool) -> Kind:
    """One verdict on all.

    Args:
        named: the figures were asked for by name, so that each must be decided. Else the headline must be: another one
            that its noise leaves open raises no alarm and stops no pass.
    """
    if any(one.verdict == "regression" for one in judged):
        return "regression"
    deciding = judged if named else judged[:1]
    return "inconclusive" if any(one.verdict == "inconclusive" for one in deciding) else "no regression"


def _weights(count: int) -> list[float]:
    """Shares of ALPHA, which add up to 1."""
    return [1.0] if count == 1 else [FIRST_SHARE, *[(1 - FIRST_SHARE) / (count - 1)] * (count - 1)]


def _holm(chances: Sequence[float], weights: Sequence[float]) -> list[bool]:
    """Which hypotheses fall, at most ALPHA of true ones over all: Holm's step-down procedure with weights."""
    rejected = [False] * len(chances)
    left = sum(weights)
    for place in sorted(range(len(chances)), key=lambda place: chances[place] / weights[place]):
        if chances[place] > ALPHA * weights[place] / left:
            break
        rejected[place] = True
        left -= weights[place]
    return rejected


def _more(change: Change, margin: float, alarm_alpha: float) -> More:
    """How many more runs would shrink the interval so far that it excludes the further of the two."""
    to_none, to_worse = abs(change.log), abs(change.log + margin)
    distance, alpha = (to_none, alarm_alpha) if to_none > to_worse else (to_worse, ALPHA)

    more = np.arange(1, MOST_RUNS + 1)

    def first(base: NDArray[np.int64], new: NDArray[np.int64]) -> int | None:
        error = np.sqrt(change.base_variance / base + change.new_variance / new)
        dof = base + new - 2
        decides = (stdtrit(dof, 1 - alpha) + stdtrit(dof, PLANNED_CHANCE)) * error <= distance
        return int(more[decides.argmax()]) if decides.any() else None

    base, new = change.base_runs + more, change.new_runs + more
    return More(each=first(base, new), new=first(np.full_like(more, change.base_runs), new))
