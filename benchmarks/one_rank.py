"""This process as the only rank of a run, for benchmarks that take the worker apart."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from gbench.pix2pix.ranks.group import Ranks, joined
from gbench.settings.spec import Device


@contextlib.contextmanager
def alone(device: Device) -> Iterator[Ranks]:
    """Joined to a process group of one, as torchrun would have it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with joined(device, 1) as ranks:
        yield ranks
