"""The measurement of all-reduce, between real ranks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support import two_ranks

from gbench.errors import InfrastructureError
from gbench.pix2pix.ranks.all_reduce import LATENCY_BYTES, MOST, measure_all_reduce
from spawned_ranks import spawn_ranks

CPU = torch.device("cpu")


def join(rank: int, path: Path, count: int) -> None:
    store = dist.FileStore(str(path), count)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=120))


def measure(rank: int, path: Path) -> None:
    join(rank, path, 2)
    state = torch.get_rng_state()
    few, one = (measure_all_reduce([4096, LATENCY_BYTES, 4096], CPU, seconds, 60) for seconds in (30, 0))
    assert torch.equal(torch.get_rng_state(), state)
    assert [(size.bytes, size.repetitions) for size in few] == [(LATENCY_BYTES, MOST), (4096, MOST)]
    assert [(size.bytes, size.repetitions) for size in one] == [(LATENCY_BYTES, 1), (4096, 1)]
    for size in few:
        assert size.fastest_s <= size.median_s <= size.slowest_s
        assert size.algorithm_gb_s == size.bytes / size.median_s / 1e9
        assert size.bus_gb_s == size.algorithm_gb_s  # 2 (n - 1) / n of two ranks
    both: list[object] = [None, None]
    dist.all_gather_object(both, [size.values() for size in few])
    assert both[0] == both[1]
    alone = dist.new_group([0], timeout=timedelta(seconds=60))
    if rank == 0:
        assert measure_all_reduce([4096], CPU, 0, 60, alone)[0].bus_gb_s == 0


def wait_for_nobody(rank: int, path: Path) -> None:
    join(rank, path, 2)
    if rank == 0:
        with pytest.raises(InfrastructureError, match=r"4,096 bytes did not end within 0\.5 s"):
            measure_all_reduce([4096], CPU, 1, 0.5)
        dist.distributed_c10d._get_default_store().set("over", "")
    else:
        dist.distributed_c10d._get_default_store().wait(["over"])


@two_ranks
@pytest.mark.parametrize("ranks", [measure, wait_for_nobody])
def test_ranks_time_an_all_reduce_together(ranks: object, tmp_path: Path) -> None:
    assert callable(ranks)
    spawn_ranks(ranks, (tmp_path / "store",), 2)
