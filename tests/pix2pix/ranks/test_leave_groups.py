"""Ranks that join, gather objects and leave, again and again: up to PyTorch 2.7 the end of a gloo group could hang."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from support import two_ranks

from gbench.pix2pix.ranks.group import joined
from gbench.runfolder.worker_exit import leave

ROUNDS = int(os.environ.get("GBENCH_TEST_LOOPS", "25"))  # 1000, to show it; fewer, to test it
HANGS_AFTER_S = 300  # a round takes 0.02 s


def join_gather_leave(rank: int, port: int, rounds: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    store, join = dist.TCPStore("127.0.0.1", port), dist.init_process_group
    for number in range(rounds):
        place = dist.PrefixStore(f"round {number}", store)
        dist.init_process_group = partial(join, store=place, rank=rank, world_size=2)
        with joined("cpu", 2) as ranks:
            for _ in range(3):
                assert ranks.gather({"rank": rank, "of": "x" * 1000})[1]["rank"] == 1
    leave(0)


@two_ranks
def test_ranks_leave_their_groups() -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = mp.spawn(join_gather_leave, (store.port, ROUNDS), nprocs=2, join=False)
    deadline = time.monotonic() + HANGS_AFTER_S + ROUNDS
    while not ranks.join(timeout=1):
        if time.monotonic() > deadline:
            for process in ranks.processes:
                process.kill()
            pytest.fail("the ranks hang")
