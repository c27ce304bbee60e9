"""The probe of a fleet: what each node and each pair of nodes takes for a short task, with one rank a device.

Matrix product, copy and data loader run on all nodes at the same time, in turns, ROUNDS times. Then every two nodes
exchange gradients, as many pairs at a time as there are. A node counts as its slowest device.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from gbench.datasets.synth import synth
from gbench.errors import InfrastructureError
from gbench.machine.machine_key import host_name
from gbench.measure.clock import HostMarks, StepClock, clock_for
from gbench.measure.peak import Kernel, TimedCall, kernels
from gbench.measure.slow_nodes import pairs_in_rounds
from gbench.pix2pix.data.pair_loader import PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.pix2pix.ranks.all_reduce import measure_all_reduce
from gbench.pix2pix.ranks.group import Ranks, keep
from gbench.runfolder.fleet_times import FLEET, FleetTimes, LinkTimes
from gbench.runfolder.folder import RunFolder
from gbench.settings.model_config import DataConfig

ROUNDS, REPEATS = 12, 8  # of the probes of a node; of the all-reduces of a pair
LINK_BYTES = 4 << 20
IMAGES = 4  # of a batch
DEADLINE_S = 60.0  # of each wait for the other nodes
OTHERS_WAIT = 1.5  # times longer than rank 0 does, which alone can tell who is missing
MISSING = re.compile(r"Ranks? ([\d, ]+) failed to pass")


class FleetProbe:
    """One rank of the probe. Every rank must make one, and call `run` as often."""

    def __init__(self, ranks: Ranks, images: Path, deadline_s: float = DEADLINE_S) -> None:
        """images: a new folder, in which they are drawn. Raises InfrastructureError: as `run`."""
        self._ranks, self._deadline_s = ranks, deadline_s
        self._groups: dict[tuple[int, ...], dist.ProcessGroup | None] = {}
        self._group = ranks.new_group(timedelta(seconds=deadline_s))
        self._per_node = ranks.per_node or ranks.world_size
        self._hosts = ranks.gather(os.environ.get("SLURMD_NODENAME") or host_name())[:: self._per_node]
        probes = {**kernels(ranks.device, torch.float32), "loader": loader(images)}
        self._work = {name: probe.work for name, probe in probes.items()}
        self._timed: dict[str, TimedCall] = {}
        for name, probe in probes.items():
            self._wait(f"the warm-up of {name}")
            clock = StepClock(HostMarks()) if name == "loader" else clock_for(ranks.device)
            self._timed[name] = TimedCall(clock, probe.call)

    def run(self) -> FleetTimes:
        """Probe every node, and every pair of nodes; the same on all ranks.

        Raises InfrastructureError: a node did not come to a round within the deadline. Rank 0 names it.
        """
        own: dict[str, list[float]] = {name: [] for name in self._timed}
        for number in range(1, ROUNDS + 1):
            for name, timed in self._timed.items():
                self._wait(f"round {number} of {name}")
                own[name].append(timed.time().wall_s)
        exchanged: dict[tuple[int, int], list[float]] = {}
        for _ in range(REPEATS):  # a pair after the others: what disturbs it for a moment meets it once
            for pairs in pairs_in_rounds(len(self._hosts)):
                self._exchange(pairs, exchanged)
        self._wait("the end of the probe")
        of_nodes = enumerate(self._ranks.gather(exchanged)[:: self._per_node])
        links = {pair: times for node, pairs in of_nodes for pair, times in pairs.items() if pair[0] == node}
        return FleetTimes(
            hosts=self._hosts,
            work=self._work,
            seconds={name: self._slowest(times) for name, times in own.items()},
            link_gb=LINK_BYTES / 1e9,
            links=[LinkTimes(first=pair[0], second=pair[1], seconds=times) for pair, times in sorted(links.items())],
        )

    def _slowest(self, own: list[float]) -> list[list[float]]:
        """For each node the seconds of each round on its slowest rank. own: of this rank."""
        of_ranks = self._ranks.gather(own)
        nodes = [of_ranks[first : first + self._per_node] for first in range(0, len(of_ranks), self._per_node)]
        return [[max(times) for times in zip(*node, strict=True)] for node in nodes]

    def _exchange(self, pairs: list[tuple[int, int]], exchanged: dict[tuple[int, int], list[float]]) -> None:
        """Time an all-reduce of each pair, all at the same time; of an odd number of nodes, one has no partner.

        exchanged: receives the seconds of the pair that this rank is in. Raises InfrastructureError.
        """
        self._wait("an exchange between two nodes")
        alone = [(node,) for node in range(len(self._hosts)) if all(node not in pair for pair in pairs)]
        groups = {nodes: self._group_of(nodes) for nodes in (*pairs, *alone)}
        for pair in pairs:
            if (group := groups[pair]) is None:
                continue
            try:
                (found,) = measure_all_reduce([LINK_BYTES], self._ranks.device, 0, self._deadline_s, group)
            except InfrastructureError as error:
                raise InfrastructureError(f"{self._names(pair)}: {error.what}", error.hint) from error
            exchanged.setdefault(pair, []).append(found.median_s)

    def _group_of(self, nodes: tuple[int, ...]) -> dist.ProcessGroup | None:
        """The ranks of these nodes; None if this one is not among them.

        On CPUs only they meet to make it, and torch names it by the number of groups that a rank has: all must have
        made as many. NCCL splits the group of all ranks, for which it needs all of them.
        """
        members = [node * self._per_node + rank for node in nodes for rank in range(self._per_node)]
        is_member, on_gpu = self._ranks.rank in members, self._ranks.device.type == "cuda"
        if nodes not in self._groups and (on_gpu or is_member):
            backend = "nccl" if on_gpu else "gloo"
            limit = timedelta(seconds=self._deadline_s)
            try:
                group = dist.new_group(members, limit, backend, use_local_synchronization=not on_gpu)
            except RuntimeError as error:
                first = str(error).strip().partition("\n")[0]
                raise InfrastructureError(
                    f"{self._names(nodes)} can't connect ({first})", "look at the network between them"
                ) from error
            self._groups[nodes] = keep(group) if is_member else None
        return self._groups.get(nodes)

    def _wait(self, what: str) -> None:
        """Wait for all ranks. Raises InfrastructureError: one did not come; rank 0 knows which."""
        patience_s = self._deadline_s * (1 if self._ranks.is_first else OTHERS_WAIT)
        try:
            dist.monitored_barrier(self._group, timedelta(seconds=patience_s), wait_all_ranks=True)
        except RuntimeError as error:
            found = MISSING.search(str(error))
            ranks = [int(rank) for rank in found[1].split(",")] if found and self._ranks.is_first else [0]
            nodes = sorted({rank // self._per_node for rank in ranks})
            raise InfrastructureError(
                f"{self._names(nodes)} did not come to {what} within {patience_s:g} s",
                "see what runs there, and the network between the nodes",
            ) from error

    def _names(self, nodes: Sequence[int]) -> str:
        return " and ".join(f"node {node} ({self._hosts[node]})" for node in nodes)


def loader(folder: Path) -> Kernel:
    """Decodes, scales and crops images of 512x256 pixels, as a training does by default, in this process."""
    synth(folder / "drawn", {"train": IMAGES}, size=256, processes=1)
    dataset = AlignedDataset(folder / "drawn", DataConfig(workers=0), seed=0)
    batches = PairLoader(dataset, Share(IMAGES, rank=0, world_size=1, drop_last=True), pin_memory=False)
    return Kernel(lambda: next(iter(batches)), IMAGES)


def probe_fleet(folder: RunFolder, ranks: Ranks) -> None:
    """Probe once, and write FLEET into the run folder of node 0. Raises InfrastructureError: as FleetProbe."""
    with tempfile.TemporaryDirectory() as place:
        times = FleetProbe(ranks, Path(place) / "images").run()
    if ranks.is_first:
        folder.write(FLEET, times.values())
