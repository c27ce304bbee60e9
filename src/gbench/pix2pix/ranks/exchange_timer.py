"""The exchange of gradients: its buckets, their all-reduce before the run, and what torch times of it in the steps.

DistributedDataParallel (Li et al., PVLDB 13(12), 2020) exchanges gradients in buckets while the backward pass goes on.
What of it is left when that pass has ended makes the step longer. torch times both itself: on a CPU in each step from
here on, on a GPU in the first 10 forward passes and then in each hundredth, as it does without gbench.
"""

from collections import deque
from collections.abc import Mapping

from torch import nn
from torch.distributed import (  # type: ignore[attr-defined]  # not in its __all__
    _DEFAULT_FIRST_BUCKET_BYTES,
    _compute_bucket_assignment_by_size,
)
from torch.nn.parallel import DistributedDataParallel

from gbench.pix2pix.ranks.all_reduce import LATENCY_BYTES, measure_all_reduce
from gbench.pix2pix.ranks.group import BACKENDS, Ranks
from gbench.runfolder.environment_facts import ExchangedStep, NetworkFacts

PROBE_S = 1.0  # all sizes together, where the network is fast enough
DEADLINE_S = 300.0
KEPT = 200  # last steps
TIMES = ("backward_comm_time", "backward_compute_comm_overlap_time")


class ExchangeTimer:
    """The exchange of these networks, each in DistributedDataParallel; nothing if this is the only rank."""

    def __init__(self, networks: Mapping[str, nn.Module], ranks: Ranks) -> None:
        self._networks = {name: one for name, one in networks.items() if isinstance(one, DistributedDataParallel)}
        self._ranks = ranks
        self._last: list[object] = []
        self._steps: deque[ExchangedStep] = deque(maxlen=KEPT)
        if ranks.device.type == "cpu":
            for network in self._networks.values():
                network._set_ddp_runtime_logging_sample_rate(1)

    def probe(self) -> NetworkFacts | None:
        """Measure the all-reduce of each bucket's size, and of one number; every rank must call it.

        Raises InfrastructureError: it failed.
        """
        if not self._networks:
            return None
        buckets = {name: bucket_bytes(network) for name, network in self._networks.items()}
        sizes = [LATENCY_BYTES, *(size for of in buckets.values() for size in of)]
        backend = BACKENDS[self._ranks.device.type].rpartition(":")[2]
        measured = measure_all_reduce(sizes, self._ranks.device, PROBE_S, DEADLINE_S)
        return NetworkFacts(backend=backend, buckets=buckets, all_reduce=measured)

    def note(self, step: int) -> None:
        """Keep what torch has timed since the last call. step: its number, the last but one that has begun."""
        logged = {name: one._get_ddp_logging_data() for name, one in self._networks.items()}
        times = [[one.get(key, 0) for key in TIMES] for one in logged.values()]
        if times == self._last or not all(whole for whole, _ in times):
            return
        self._last = list(times)
        seconds = {name: [ns / 1e9 for ns in one] for name, one in zip(logged, times, strict=True)}
        self._steps.append(
            ExchangedStep(
                step=step,
                hidden_s={name: hidden for name, (_, hidden) in seconds.items()},
                exposed_s={name: max(0.0, whole - hidden) for name, (whole, hidden) in seconds.items()},
            )
        )

    def steps(self) -> list[list[ExchangedStep]] | None:
        """The kept steps of every rank, which must call it; None if this is the only one."""
        return self._ranks.gather(list(self._steps)) if self._networks else None


def bucket_bytes(network: DistributedDataParallel) -> list[int]:
    """The buckets of a network from its second step on, in the order in which its gradients are ready.

    torch rebuilds them after the first step by the same rule, in that order.
    """
    ready = [one for one in reversed(list(network.module.parameters())) if one.requires_grad]
    limits = [_DEFAULT_FIRST_BUCKET_BYTES, network.bucket_bytes_cap]
    places, _ = _compute_bucket_assignment_by_size(ready, limits)
    return [sum(ready[place].nbytes for place in bucket) for bucket in places]
