"""Facts of a run that only the host knows, not the worker: hardware names, driver, code version, file hashes."""

import hashlib
from pathlib import Path
from typing import Any

import psutil

from gbench.base.files import open_file
from gbench.base.paths import checkout_dir
from gbench.errors import GbenchError
from gbench.machine import host
from gbench.machine.git import git as ask_git
from gbench.machine.gpus import Gpus
from gbench.machine.machine_key import host_name, machine_key


def hardware(gpus: Gpus) -> dict[str, Any]:
    """The host's operating system, processor, memory, GPUs by name, driver version and identity."""
    return {
        "os": host.os_name(),
        "cpu": host.cpu_facts(),
        "mem": f"{round(psutil.virtual_memory().total / 1024**3)} GB",  # in CNDB's format
        "gpus": [gpu.name for gpu in gpus.devices],
        "driver": gpus.driver,
        "machine": {
            "host_name": host_name(),
            "key": machine_key(),
            "gpus": [{"uuid": gpu.uuid, "vbios": gpu.vbios} for gpu in gpus.devices],
        },
    }


def file_sha256(path: Path) -> str | None:
    """SHA-256 of a small file; None if it can't be read."""
    try:
        with open_file(path) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def git() -> dict[str, Any] | None:
    """Commit of gbench's checkout, and whether tracked files differ from it; None if installed, or if git fails."""
    root = checkout_dir()
    if root is None:
        return None
    options = ("-c", "safe.directory=*")  # another user may own it: these two commands execute nothing in it
    try:
        commit = ask_git(root, "rev-parse", "HEAD", options=options)
        changes = ask_git(root, "status", "--porcelain", "-uno", options=options)
    except GbenchError:
        return None
    return {"commit": commit, "dirty": bool(changes)}
