"""What the profiler's marks do to a network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.profiler import profile

from gbench.measure.trace import load
from gbench.pix2pix.profiled import mark_region


def regions(network: nn.Module, tmp_path: Path) -> int:
    with profile() as profiler:
        network(torch.ones(1, 2))
    profiler.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    return sum(event.name == "gbench: generator" for event in load(tmp_path / "trace.json.gz"))


def test_a_network_is_marked_unless_it_is_compiled_as_a_whole(tmp_path: Path) -> None:
    plain, compiled = nn.Linear(2, 2), nn.Linear(2, 2)
    compiled.compile(backend="eager")
    for network in (plain, compiled):
        mark_region(network, "generator")
    assert regions(plain, tmp_path) == 1
    assert regions(compiled, tmp_path) == 0
