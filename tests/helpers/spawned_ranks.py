"""Run ranks in processes of a test, without torchrun: forked from a process that has loaded PyTorch, as those of a run.

That process starts with the first of them and ends after the test's module (tests/pix2pix/conftest.py).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

from gbench.runfolder.worker_exit import leave

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["torch", "torch.distributed", "pytest", "gbench.pix2pix.__main__"])


def spawn_ranks(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Run `function(rank, *arguments)` in `count` processes. Raises mp.ProcessRaisedException: a process raised."""
    mp.start_processes(_as_rank, (function, arguments), nprocs=count, start_method="forkserver")


def _as_rank(rank: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    function(rank, *arguments)
    leave(0)  # as a run's process does: gloo's own teardown aborts now and then
