"""Ranks that join, gather objects and leave, again and again: up to PyTorch 2.7 the end of a gloo group could hang."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from support import two_ranks

from gbench.pix2pix.ranks.group import Ranks, joined
from gbench.runfolder.worker_exit import leave

ROUNDS = int(os.environ.get("GBENCH_TEST_LOOPS", "25"))  # 1000, to show it; fewer, to test it
HANGS_AFTER_S = 1000  # a round takes 0.02 s on a quiet machine


Join = Callable[[dist.Store, int], AbstractContextManager[Ranks]]


@contextmanager
def as_a_run(store: dist.Store, rank: int) -> Iterator[Ranks]:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    join = dist.init_process_group
    dist.init_process_group = partial(join, store=store, rank=rank, world_size=2)
    try:
        with joined("cpu", 2) as ranks:
            yield ranks
    finally:
        dist.init_process_group = join


@contextmanager
def as_another_program(store: dist.Store, rank: int) -> Iterator[Ranks]:
    """One that has a process group of its own."""
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    yield Ranks(rank, 2, torch.device("cpu"))
    dist.destroy_process_group()


def join_and_leave(rank: int, port: int, join: Join, rounds: int) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port)
    for number in range(rounds):
        with join(dist.PrefixStore(f"round {number}", store), rank) as ranks:
            for _ in range(3):
                assert ranks.gather({"rank": rank, "of": "x" * 1000})[1]["rank"] == 1
            assert ranks.mean(torch.tensor([2.0 * rank])).item() == 1
    leave(0)


@two_ranks
@pytest.mark.parametrize("join", [as_a_run, as_another_program])
def test_ranks_leave_their_groups(join: Join) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = mp.start_processes(join_and_leave, (store.port, join, ROUNDS), 2, join=False, start_method="forkserver")
    deadline = time.monotonic() + HANGS_AFTER_S + ROUNDS
    while not ranks.join(timeout=1):
        if time.monotonic() > deadline:
            for process in ranks.processes:
                process.kill()
            pytest.fail("the ranks hang")
