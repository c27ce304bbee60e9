"""Simulated hosts for the checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_nvml import fake_nvml
from gbench.machine.gpus import find_gpus
from gbench.preflight import busy
from gbench.preflight.check_table import RULES
from gbench.preflight.rule import CheckedRun
from gbench.preflight.run_checks import run_checks
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec


@pytest.fixture(autouse=True)
def no_early_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a launch of an earlier test began."""
    monkeypatch.setattr(busy, "_early", [])


@pytest.fixture(autouse=True)
def short_looks() -> None:
    """None: here the looks themselves are tested."""


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Create a root folder from paths and texts."""

    def make(files: dict[str, str]) -> Path:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    return make


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script first on PATH."""

    def make(name: str, script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return path

    return make


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Replace pynvml by a fake one."""

    def make(*cards: dict[str, Any], **system: Any) -> ModuleType:
        module = fake_nvml(*cards, **system)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    return make


@pytest.fixture
def check_one(make_spec: Callable[..., RunSpec]) -> Callable[..., CheckFacts | None]:
    """Run one check of the table as in a whole run; None if it does not apply."""

    def make(
        rule_id: str,
        root: Path = Path("/"),
        device: str = "cuda",
        runner: str = "local",
        device_count: int | None = None,
        **of_spec: Any,
    ) -> CheckFacts | None:
        rules = [rule for rule in RULES if rule.id == rule_id]
        spec = make_spec().model_copy(update={"device": device, "runner": runner, **of_spec})
        checks = list(run_checks(CheckedRun(spec.device, spec.runner, device_count, spec), find_gpus(), rules, root))
        return checks[0] if checks else None

    return make
