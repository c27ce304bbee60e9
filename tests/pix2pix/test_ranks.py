"""How the processes of a run talk to each other, as far as it can be told without a GPU."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.testing._internal.distributed import fake_pg  # registers the backend `fake`, which moves nothing

from gbench.pix2pix.ranks import BACKENDS, Ranks


def test_objects_are_gathered_without_the_gpus_which_must_be_idle_meanwhile() -> None:
    """`fake` stands in for NCCL, which does not start without a GPU; no object comes back by way of it."""
    backends = BACKENDS["cuda"].replace("nccl", "fake")
    assert "cuda:fake" in backends
    dist.init_process_group(backends, store=fake_pg.FakeStore(), rank=0, world_size=1)
    try:
        assert Ranks(0, 1, torch.device("cuda", 0)).gather({"pid": 4711}) == [{"pid": 4711}]
    finally:
        dist.destroy_process_group()
