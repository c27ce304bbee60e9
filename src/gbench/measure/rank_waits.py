"""Whose wait: which rank begins to compute last in each step, and what each rank waits for.

Ranks wait for each other when they exchange gradients, so their step times agree, and the sums of them differ by chance
alone. The rank that is last to have its batch sets the pace of a step: its wait for data, and its time between steps,
are those of the run. The others wait for it. Ranks of one host share a clock; `on_one_clock` is for several hosts. A
rank whose device computes slowly is not seen: it has its batch as early as the others.

A pure function of its arguments.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gbench.measure.steady_state import Floats
from gbench.runfolder.run_result import RankWaits
from gbench.runfolder.step_columns import Steps

PACE = 0.9  # share of the steps in which a rank is last, from which it sets the pace
LATE = 0.01  # share of a step by which it is then late


def on_one_clock(ranks: Sequence[Steps], per_node: int) -> list[Steps]:
    """The ranks of several hosts as if by the clock of the first: steps end everywhere when the ranks have exchanged.

    per_node: ranks on each host.
    """
    common = min(map(len, ranks), default=0)
    if not common or per_node == len(ranks):
        return list(ranks)
    offsets = [float(np.median(one.end_s[:common] - ranks[0].end_s[:common])) for one in ranks[::per_node]]
    return [replace(one, end_s=one.end_s - offsets[rank // per_node]) for rank, one in enumerate(ranks)]


def last_ranks(ranks: Sequence[Steps]) -> NDArray[np.int64]:
    """The rank that began to compute last, for each step. ranks: the same steps of each."""
    return np.asarray(_arrivals(ranks).argmax(axis=0), dtype=np.int64)


def rank_waits(ranks: Sequence[Steps]) -> list[RankWaits]:
    """What each rank waited for, as shares of its time. ranks: the same steps of each, one at least."""
    arrivals = _arrivals(ranks)
    last, late_s = arrivals.argmax(axis=0), arrivals.max(axis=0) - arrivals
    return [
        RankWaits(
            data_share=_share(steps.data_s, steps),
            between_share=_share(steps.between_s, steps),
            others_share=_share(late, steps),
            last_share=float((last == rank).mean()),
        )
        for rank, (steps, late) in enumerate(zip(ranks, late_s, strict=True))
    ]


def pace_rank(waits: Sequence[RankWaits]) -> int | None:
    """The rank that always sets the pace, and makes the others wait; None: there is none."""
    if len(waits) < 2:
        return None
    rank = max(range(len(waits)), key=lambda one: waits[one].last_share)
    others = min(one.others_share for place, one in enumerate(waits) if place != rank)
    return rank if waits[rank].last_share >= PACE and others >= LATE else None


def _arrivals(ranks: Sequence[Steps]) -> Floats:
    """When each rank had its batch, [rank, step], in seconds of the host's clock."""
    return np.stack([steps.end_s - steps.step_s + steps.between_s + steps.data_s for steps in ranks])


def _share(column: Floats, steps: Steps) -> float:
    return float(column.sum() / steps.step_s.sum())
