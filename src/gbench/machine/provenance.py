"""What the host knows of a run and the worker can't see: hardware names, driver, code version, dataset."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from gbench.base.paths import checkout_dir
from gbench.machine import host
from gbench.machine.gpus import Gpus


def hardware(gpus: Gpus) -> dict[str, Any]:
    """The host's operating system, processor, memory, GPUs by name, and driver version."""
    return {
        "os": host.os_name(),
        "cpu": host.cpu_facts(),
        "mem": host.memory_text(),
        "gpus": [gpu.name for gpu in gpus.devices],
        "driver": gpus.driver,
    }


def file_sha256(path: Path) -> str | None:
    """The hash of a small file; None where it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def git() -> dict[str, Any] | None:
    """Commit of gbench's own checkout, and whether tracked files differ from it; None when it is installed."""
    root = checkout_dir()
    if root is None:
        return None
    try:
        commit = _git("-C", str(root), "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("-C", str(root), "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # A checkout that another user owns may still be read: nothing in it is run by these two commands.
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
