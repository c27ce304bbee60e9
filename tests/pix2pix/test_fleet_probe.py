"""The probe of a fleet between two real ranks, each a node."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support import two_ranks

from gbench.errors import InfrastructureError
from gbench.pix2pix.fleet_probe import LINK_BYTES, REPEATS, ROUNDS, FleetProbe
from gbench.pix2pix.ranks.group import Ranks
from spawned_ranks import spawn_ranks


def joined(rank: int, path: Path) -> Ranks:
    torch.set_num_threads(1)
    store = dist.FileStore(str(path / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    return Ranks(rank, 2, torch.device("cpu"), per_node=1)


def probe(rank: int, path: Path) -> None:
    ranks = joined(rank, path)
    times = FleetProbe(ranks, path / f"images{rank}").run()
    assert len(times.hosts) == 2 and times.link_gb == LINK_BYTES / 1e9
    assert set(times.seconds) == set(times.work) == {"gemm", "copy", "loader"}
    for of_nodes in times.seconds.values():
        assert [len(rounds) for rounds in of_nodes] == [ROUNDS] * 2
        assert min(map(min, of_nodes)) > 0
    (link,) = times.links
    assert (link.first, link.second, len(link.seconds)) == (0, 1, REPEATS)
    assert ranks.gather(times.values()) == [times.values()] * 2


def wait_for_nobody(rank: int, path: Path) -> None:
    ranks = joined(rank, path)
    fleet = FleetProbe(ranks, path / f"images{rank}", deadline_s=60)
    fleet._deadline_s = 0.5
    if rank == 0:
        with pytest.raises(InfrastructureError, match=r"node 1 \(.*\) did not come to round 1 of gemm within 0\.5 s"):
            fleet.run()
        dist.distributed_c10d._get_default_store().set("over", "")
    else:
        dist.distributed_c10d._get_default_store().wait(["over"])


@two_ranks
@pytest.mark.parametrize("ranks", [probe, wait_for_nobody])
def test_two_nodes(ranks: object, tmp_path: Path) -> None:
    assert callable(ranks)
    spawn_ranks(ranks, (tmp_path,), 2)
