"""Shared fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from gbench.pix2pix.ranks.group import Ranks


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    """One rank in this process, in its own process group."""
    dist.init_process_group("gloo", f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield Ranks(0, 1, torch.device("cpu"))
    dist.destroy_process_group()


@pytest.fixture(scope="module", autouse=True)
def no_forkserver_afterwards() -> Iterator[None]:
    """End the process of spawned_ranks.py: it holds the memory of a loaded PyTorch."""
    yield
    forkserver._forkserver._stop()
