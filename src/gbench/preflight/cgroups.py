"""How much of the machine's processors and memory the control groups (cgroup v1 and v2) leave to a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from gbench.base.cpu_list import cpu_set
from gbench.preflight.rule import Finding, Look
from gbench.preflight.unreadable import Unreadable

LEAST_GIB = 4.0  # a device: a process with CUDA's libraries, and its loaders
CGROUP = "sys/fs/cgroup"


def cgroup_limits(look: Look) -> Finding:
    """A container of the Docker engine leaves this process's groups: there only the limits of the root count."""
    local = look.wanted.runner == "local"
    own = _own_groups(look) if local else {}
    cpus = len(cpu_set(look.read("sys/devices/system/cpu/online")))
    memory_gib = _number(r"MemTotal:\s*(\d+)", look.read("proc/meminfo")) / 1024**2
    texts, doubtful = [], False
    quota = min(_quotas(look, own), default=float("inf"))
    if quota < cpus:
        texts.append(f"time for {quota:.1f} of {cpus} CPUs")
        doubtful = True
    allowed = re.search(r"Cpus_allowed_list:\s*(\S+)", look.read("proc/self/status"))
    if local and allowed and len(cpu_set(allowed[1])) < cpus:
        texts.append(f"only CPUs {allowed[1]} of {cpus}")
    limit_gib = min(_memory_limits_gib(look, own), default=float("inf"))
    if limit_gib < memory_gib:
        texts.append(f"{limit_gib:.1f} of {memory_gib:.1f} GiB of memory")
        doubtful = doubtful or limit_gib < LEAST_GIB * (look.wanted.device_count or 1)
    if not texts:
        return Finding("ok", "no limit")
    return Finding("warning" if doubtful else "info", "; ".join(texts))


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    if match is None:
        raise Unreadable("the kernel does not tell")
    return float(match[1])


def _own_groups(look: Look) -> dict[str, str]:
    """This process's group by controller; the controller of v2 is called ``."""
    lines = [line.split(":", 2) for line in look.read("proc/self/cgroup").splitlines()]
    return {controller: path for _, controllers, path in lines for controller in controllers.split(",")}


def _folders(own: dict[str, str], controller: str) -> Iterator[str]:
    """Where the limits of a group and of all groups above it may be, in v1 and in v2.

    A container may be told its path on the host while it sees its own group as the root: folders that aren't there are
    no error.
    """
    for name, base in ((controller, f"{CGROUP}/{controller}"), ("", CGROUP)):
        group = PurePosixPath(own.get(name, "").strip("/"))
        for path in (group, *group.parents):
            yield f"{base}/{path}"


def _quotas(look: Look, own: dict[str, str]) -> Iterator[float]:
    """CPUs' worth of time, of each quota that holds: `QUOTA PERIOD` in microseconds, or none (`max`, `-1`)."""
    for folder in _folders(own, "cpu"):
        v1 = " ".join(look.maybe(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        quota, _, period = (look.maybe(f"{folder}/cpu.max") or v1).partition(" ")
        if quota not in ("", "max", "-1") and period:
            yield int(quota) / int(period)


def _memory_limits_gib(look: Look, own: dict[str, str]) -> Iterator[float]:
    """Of each limit that holds; v1 writes a number above all memory for none."""
    for folder in _folders(own, "memory"):
        limit = look.maybe(f"{folder}/memory.max") or look.maybe(f"{folder}/memory.limit_in_bytes")
        if limit not in ("", "max"):
            yield int(limit) / 1024**3
