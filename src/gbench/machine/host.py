"""Facts about the machine that need neither torch nor Docker: operating system, processor, memory. Never raises."""

import platform
from pathlib import Path
from typing import Any

import psutil


def os_name() -> str:
    """The operating system's own name: `Ubuntu 22.04.4 LTS`."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def cpu_name() -> str:
    """The processor's model name; the architecture if the kernel reports none."""
    return next(iter(_cpuinfo("model name")), platform.machine())


def cpu_facts() -> dict[str, Any]:
    """Model name, sockets, cores and hardware threads over all sockets, NUMA nodes; None if unknown."""
    return {
        "name": cpu_name(),
        "sockets": len(set(_cpuinfo("physical id"))) or None,
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(logical=True),
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or None,
    }


def _cpuinfo(field: str) -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field]
