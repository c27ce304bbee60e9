"""Run ranks in processes of a test, without torchrun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

from gbench.runfolder.worker_exit import leave


def spawn_ranks(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Run `function(rank, *arguments)` in `count` processes. Raises mp.ProcessRaisedException: a process raised."""
    mp.spawn(_as_rank, (function, arguments), nprocs=count)


def _as_rank(rank: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    function(rank, *arguments)
    leave(0)  # as a run's process does: gloo's own teardown aborts now and then
