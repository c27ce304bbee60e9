"""Runs that several tests only read: made once a session, also where pytest-xdist has several processes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from support import Answer

from gbench.runfolder.folder import RunFolder
from invoke import in_this_process


@dataclass(frozen=True)
class SharedRun:
    """A run that has ended.

    Attributes:
        base: the folder in which gbench was called.
        answer: what it printed.
    """

    base: Path
    answer: Answer

    @property
    def folder(self) -> RunFolder:
        (path,) = (self.base / "results").iterdir()
        return RunFolder(path)

    @property
    def record(self) -> Path:
        (path,) = (self.base / "cndb" / "records").iterdir()
        return path


def run_once(temporary: pytest.TempPathFactory, name: str, *arguments: object) -> SharedRun:
    """Run `gbench ARGUMENTS` in a folder of this name, unless a process of this session has; tests only read it."""
    root = temporary.getbasetemp()
    base = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    kept = base / "answer.json"
    with FileLock(f"{base}.lock"):
        if not kept.exists():
            base.mkdir()
            kept.write_text(json.dumps(asdict(in_this_process(arguments, base, {}))))
    answer = Answer(**json.loads(kept.read_text()))
    assert answer.code == 0, answer.err
    return SharedRun(base, answer)
