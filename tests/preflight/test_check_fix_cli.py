"""`gbench check --fix` on a simulated GPU host, in this process."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fake_nvml import GRAPHICS, MEMORY, clocks, fake_nvml, process
from gbench.cli.check import check as command


class GpuHost:
    """A simulated GPU host: pynvml reads and nvidia-smi on PATH writes the same two files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = folder / "calls"
        self.persistence = folder / "persistence"
        self.persistence.write_text("0")
        script = folder / "nvidia-smi"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {self.calls}\ncase "$3" in -pm) printf %s "$4" > {self.persistence};; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        card = {
            "PersistenceMode": lambda: int(self.persistence.read_text()),
            "ComputeRunningProcesses": [process(os.getppid(), 2.0)],
            **clocks(ApplicationsClock={GRAPHICS: 1200, MEMORY: 2619}),
        }
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(card, cuda=99000))

    def ran(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def gpu_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuHost:
    return GpuHost(tmp_path, monkeypatch)


def check(facades: Path, *arguments: str) -> Result:
    fixed = ["--runner", "local", "--datasets-dir", str(facades)]
    return CliRunner().invoke(command, [*fixed, *arguments])


def test_fix_prints_and_runs_nothing(gpu_host: GpuHost, facades: Path) -> None:
    result = check(facades, "--fix")
    assert result.exit_code == 1
    assert "nvidia-smi -i 0 -pm 1\n" in result.output
    assert "nvidia-smi -i 0 -ac 2619,1980    # only with --clocks" in result.output
    assert gpu_host.ran() == []


def test_apply_runs_all_but_clocks_and_looks_again(gpu_host: GpuHost, facades: Path) -> None:
    result = check(facades, "--fix", "--apply")
    assert "nvidia-smi -i 0 -pm 1    # done" in result.output
    assert "# left out: needs --clocks" in result.output
    assert gpu_host.ran() == ["-i 0 -pm 1"]
    before, _, after = result.output.partition("fixing:")
    assert "WARNING  gpu-persistence" in before
    assert "ok       gpu-persistence" in after
    assert result.exit_code == 1  # the foreign process is still there, as it should be
    assert f"pid {os.getppid()} " in after


def test_clocks_are_set_when_asked_for(gpu_host: GpuHost, facades: Path) -> None:
    result = check(facades, "--fix", "--apply", "--clocks", "--json")
    assert gpu_host.ran() == ["-i 0 -pm 1", "-i 0 -ac 2619,1980"]
    answer = json.loads(result.output)
    assert [(one["check"], one["clocks"], one["outcome"]) for one in answer["mendings"]] == [
        ("gpu-persistence", False, "done"),
        ("gpu-application-clocks", True, "done"),
    ]
    severities = {one["id"]: one["severity"] for one in answer["checks"]}
    assert severities["gpu-persistence"] == "ok"
