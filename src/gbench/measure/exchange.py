"""What the exchange of gradients costs a step: as torch timed it, and as the all-reduce before the run implies it.

Gradients are exchanged when all ranks have theirs. So the rank that waits least in a step, the last one, waits for the
network alone; what another waits longer is its wait for that rank, however late it began or slowly it computes.

Pure functions of their arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gbench.measure.steady_state import Floats
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.run_result import Exchange, RankWaits, TimedExchange
from gbench.runfolder.step_columns import Steps


def exposed_s(hidden_s: float, buckets_s: Sequence[float]) -> float:
    """Seconds of a network's exchange that are left at the end of its backward pass.

    DistributedDataParallel exchanges one bucket after the other, each when its gradients are ready (Li et al., PVLDB
    13(12), 2020): the first `hidden_s` before the end, the last at the end, the others at equal distances in between.
    """
    done_s = 0.0
    for place, bucket_s in enumerate(buckets_s):
        ready_s = hidden_s * place / (len(buckets_s) - 1) if place else 0.0
        done_s = max(done_s, ready_s) + bucket_s
    return done_s - (hidden_s if len(buckets_s) > 1 else 0.0)


def exchange_of(environment: EnvironmentFacts, measured: Sequence[Steps]) -> Exchange | None:
    """The exchange in the measured steps. None: there is one rank, or an earlier gbench did not look."""
    network = environment.network
    if network is None:
        return None
    buckets_s = network.times_s()
    found = Exchange(
        backend=network.backend,
        buckets=network.buckets,
        all_reduce=[one.values() for one in network.all_reduce],
        alone_s=sum(map(sum, buckets_s.values())),
    )
    timed = _Timed.of(environment, measured)
    if timed is None:
        return found
    step_s = float(np.median(measured[0].step_s))
    network_s = float(np.median(timed.least_s.sum(axis=1)))
    least_s = sum(exposed_s(timed.hidden_s[name], buckets_s[name]) for name in buckets_s)
    return replace(
        found,
        timed=TimedExchange(
            steps=len(timed.step_s),
            hidden_s=timed.hidden_s,
            network_s=network_s,
            network_share=float(np.median(timed.least_s.sum(axis=1) / timed.step_s)),
            implied_s=least_s,
            bound=(step_s - network_s) / (step_s - network_s + least_s),
        ),
    )


def with_gradients(
    waits: Sequence[RankWaits], environment: EnvironmentFacts, measured: Sequence[Steps]
) -> list[RankWaits]:
    """The waits of each rank, with those for gradients where torch timed them."""
    timed = _Timed.of(environment, measured)
    if timed is None:
        return list(waits)
    last, others_s = timed.waits_s.argmin(axis=0), (timed.waits_s - timed.least_s).sum(axis=2)
    return [
        replace(
            one,
            gradients_last_share=float((last == rank).mean()),
            gradients_others_share=float(others_s[rank].sum() / timed.step_s.sum()),
        )
        for rank, one in enumerate(waits)
    ]


@dataclass(frozen=True)
class _Timed:
    """The measured steps whose exchange torch timed on all ranks."""

    step_s: Floats
    waits_s: Floats
    """From the end of the backward pass until the gradients were there, [rank, step, network]."""
    hidden_s: dict[str, float]
    """Median over steps and ranks, by network."""

    @property
    def least_s(self) -> Floats:
        """The wait for the network alone, [step, network]."""
        least: Floats = self.waits_s.min(axis=0)
        return least

    @classmethod
    def of(cls, environment: EnvironmentFacts, measured: Sequence[Steps]) -> "_Timed | None":
        ranks = [{one.step: one for one in rank} for rank in environment.exchange or []]
        steps = measured[0]
        if environment.network is None or not ranks:
            return None
        timed = set(ranks[0]).intersection(*ranks[1:])
        places = np.flatnonzero(np.isin(steps.step, list(timed))).tolist()
        if not places:
            return None
        rows = [[rank[int(steps.step[place])] for place in places] for rank in ranks]
        names = list(environment.network.buckets)
        return cls(
            step_s=steps.step_s[places],
            waits_s=np.array([[[one.exposed_s[name] for name in names] for one in row] for row in rows]),
            hidden_s={name: float(np.median([one.hidden_s[name] for row in rows for one in row])) for name in names},
        )
