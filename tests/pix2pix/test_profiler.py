"""The profiler's marks on a network, and the place of its trace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import profile, record_function

from gbench.errors import InfrastructureError
from gbench.measure.clock import marks_for
from gbench.measure.hotspots import COMPUTING
from gbench.measure.trace import load
from gbench.pix2pix.profiler import ProfiledClock, mark_region, whole_trace


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


def test_a_trace_without_steps_or_without_kernels_is_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    with profile() as profiler, record_function(COMPUTING):
        torch.ones(2).add(1)
    profiler.export_chrome_trace(str(path))
    assert any(event.name == "aten::add" for event in whole_trace(path, steps=1, on_gpu=False))
    with pytest.raises(InfrastructureError, match="does not hold the 2 profiled steps"):
        whole_trace(path, steps=2, on_gpu=False)
    with pytest.raises(InfrastructureError, match="holds no kernel"):
        whole_trace(path, steps=1, on_gpu=True)


def test_a_trace_needs_no_other_room_and_leaves_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    device, folder = torch.device("cpu"), tmp_path / "run"
    folder.mkdir()
    clock = ProfiledClock(marks_for(device), device, warmup=1, steps=1, trace=folder / "trace-rank0.json.gz")
    clock.start()
    for _ in range(2):
        clock.ask()
        clock.batch_ready()
        torch.ones(2) + 1
        clock.step_done()
    clock.close()
    assert [path.name for path in folder.iterdir()] == ["trace-rank0.json.gz"]
    assert any(event.name == "aten::add" for event in load(folder / "trace-rank0.json.gz"))
