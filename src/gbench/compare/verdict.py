"""The verdict: regression, no regression, or inconclusive, for one figure and for all of them.

`threshold` is the slowdown to detect. Two error rates are at most ALPHA each, however noisy the machine: an alarm if
nothing got worse, and a pass if it got worse by the threshold. An inconclusive verdict asks for more runs, which are
compared again together with the earlier ones; so each of these two looks has A_LOOK, half of ALPHA (Bonferroni). With
confidence bounds at level 1 - A_LOOK:

- an interval that excludes "no change" but not "worse by the threshold" is a regression,
- one that excludes "worse by the threshold" but not "no change" is not (an equivalence test, Schuirmann 1987),
- one that excludes both counts as the nearer of the two: a real but small change is not a regression,
- one that excludes neither is inconclusive, and the number of runs that would decide it is computed,
- all is inconclusive if a run was not steady and nothing measured says how much such runs differ.

Several figures multiply the chance of a false alarm, so they share A_LOOK by Holm's procedure (1979) with weights:
throughput, the headline, has FIRST_SHARE of it, the others equal parts of the rest. A pass needs no correction, as all
figures must pass (an intersection-union test, Berger 1982).
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

from gbench.compare.change import Change
from gbench.compare.metrics import ComparedMetric
from gbench.measure.holm import holm

ALPHA = 0.01
A_LOOK = ALPHA / 2
FIRST_SHARE = 0.8
PLANNED_CHANCE = 0.8  # probability of a verdict after the reported number of further runs
MOST_RUNS = 1000  # beyond it, no number is reported
LARGEST = 700.0  # exp of more would overflow a float

Kind = Literal["regression", "no regression", "inconclusive"]


@dataclass(frozen=True)
class More:
    """Further runs that would decide a figure with probability PLANNED_CHANCE, if the true change is the measured one.

    None: more than MOST_RUNS.
    """

    each: int | None
    """Of BASE and as many of NEW."""
    new: int | None
    """Of NEW alone."""


@dataclass(frozen=True)
class Judged:
    metric: ComparedMetric
    change: Change
    verdict: Kind
    surely_worse: bool
    """Whether the figure is significantly worse, by however little."""
    improved: bool
    """Whether it is significantly better, by at least half the threshold."""
    ratio: float
    """NEW / BASE, whether higher is better or not."""
    low: float
    """Lower end of the ratio's 95 % interval, up to `high`."""
    high: float
    more: More | None
    """For an inconclusive figure."""


def judge(
    changes: Sequence[tuple[ComparedMetric, Change]], threshold: float, undecidable: Collection[str] = ()
) -> list[Judged]:
    """The verdict on each figure, the headline first.

    Args:
        threshold: the deterioration to detect, as a share of 1.
        undecidable: names of figures that stay inconclusive.
    """
    weights = _weights(len(changes))
    worse = holm([change.chance_above(0.0) for _, change in changes], A_LOOK, weights)
    better = holm([change.chance_below(0.0) for _, change in changes], A_LOOK, weights)
    judged = []
    for (metric, change), weight, is_worse, is_better in zip(changes, weights, worse, better, strict=True):
        margin = metric.margin(threshold)
        nearer_to_worse = change.log <= -margin / 2
        verdict: Kind = "inconclusive"
        if metric.name in undecidable:
            pass
        elif is_worse and nearer_to_worse:
            verdict = "regression"
        elif change.chance_below(-margin) <= A_LOOK:
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
                more=_more(change, margin, weight * A_LOOK) if verdict == "inconclusive" else None,
            )
        )
    return judged


def overall(judged: Sequence[Judged], named: bool) -> Kind:
    """One verdict on all figures. named: they were given by name, so each must be conclusive, not only the first."""
    if any(one.verdict == "regression" for one in judged):
        return "regression"
    deciding = judged if named else judged[:1]
    return "inconclusive" if any(one.verdict == "inconclusive" for one in deciding) else "no regression"


def _weights(count: int) -> list[float]:
    """Shares of A_LOOK; their sum is 1."""
    return [1.0] if count == 1 else [FIRST_SHARE, *[(1 - FIRST_SHARE) / (count - 1)] * (count - 1)]


def _more(change: Change, margin: float, alarm_alpha: float) -> More:
    """Further runs after which the interval excludes "no change" or "worse by the threshold", whichever is farther."""
    to_none, to_worse = abs(change.log), abs(change.log + margin)
    distance, alpha = (to_none, alarm_alpha) if to_none > to_worse else (to_worse, A_LOOK)

    def first(more_of_base: int) -> int | None:
        """The smallest number, if each further run of NEW comes with so many of BASE."""

        def decides(more: int) -> bool:
            base, new = change.base_runs + more_of_base * more, change.new_runs + more
            error = math.sqrt(change.reading.base_variance / base + change.reading.new_variance / new)
            dof = base + new - 2
            return float(stdtrit(dof, 1 - alpha) + stdtrit(dof, PLANNED_CHANCE)) * error <= distance

        found = bisect_left(range(1, MOST_RUNS + 1), True, key=decides)
        return found + 1 if found < MOST_RUNS else None

    return More(each=first(1), new=first(0))
