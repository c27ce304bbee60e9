"""How many CPUs and how much memory the control groups (cgroup v1 and v2) allow a run."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from gbench.base.cpu_list import cpu_set
from gbench.base.size import GIB, size_text
from gbench.base.whole import whole_number
from gbench.preflight.rule import Context, Finding

LEAST_GIB = 4.0  # per device: a process with CUDA's libraries, and its loaders
CGROUP = "sys/fs/cgroup"


def cgroup_limits(context: Context) -> Finding:
    """The limits of this process's groups; in Docker only those of the root, since a container has its own groups."""
    cpus = _online(context)
    memory_gib = _meminfo_gib(context, "MemTotal")
    texts, doubtful = [], False
    quota = _quota(context)
    if quota < cpus:
        texts.append(f"time for {quota:.1f} of {cpus} CPUs")
        doubtful = True
    if context.run.runner == "local" and len(cpu_set(allowed := context.allowed_cpus())) < cpus:
        texts.append(f"only CPUs {allowed} of {cpus}")
    limit_gib = min((gib for _, gib in _memory_limits_gib(context)), default=float("inf"))
    if limit_gib < memory_gib:
        texts.append(f"{size_text(limit_gib * GIB)} of {size_text(memory_gib * GIB)} of memory")
        doubtful = doubtful or limit_gib < LEAST_GIB * (context.run.device_count or 1)
    if not texts:
        return Finding("ok", "no limit")
    return Finding("warning" if doubtful else "info", "; ".join(texts))


def usable_cores(context: Context) -> int:
    """The cores that a run may use, by the kernel's count: those allowed, or as many as a quota has time for."""
    local = context.run.runner == "local"
    cpus = len(cpu_set(context.allowed_cpus())) if local else _online(context)
    return max(1, int(min(cpus, _quota(context))))


def free_memory_gib(context: Context) -> float:
    """The memory that is available: on the machine, and below the limit of each group.

    What a group holds of files that nobody has used lately is free: the kernel drops it first.
    """
    free = _meminfo_gib(context, "MemAvailable")
    for folder, limit_gib in _memory_limits_gib(context):
        used = _number(context, f"{folder}/memory.current", f"{folder}/memory.usage_in_bytes") or 0
        files = re.findall(r"^(?:total_)?inactive_file (\d+)$", context.maybe(f"{folder}/memory.stat"), re.MULTILINE)
        held = max(0, used - max(map(int, files), default=0))
        free = min(free, max(0.0, limit_gib - held / GIB))
    return free


def _online(context: Context) -> int:
    return len(cpu_set(context.read("sys/devices/system/cpu/online")))


def _meminfo_gib(context: Context, key: str) -> float:
    return int(context.find("proc/meminfo", rf"{key}:\s*(\d+)")) / 1024**2


def _own_groups(context: Context) -> dict[str, str]:
    """This process's group by controller, none for a container; the name of v2's controller is empty."""
    if context.run.runner != "local":
        return {}
    lines = [line.split(":", 2) for line in context.read("proc/self/cgroup").splitlines() if line.count(":") > 1]
    return {controller: path for _, controllers, path in lines for controller in controllers.split(",")}


def _folders(context: Context, controller: str) -> Iterator[str]:
    """Folders that may hold the limits of a group and of all groups above it, in v1 and in v2.

    Missing folders are not an error: a container may see its path on the host although its own group is the root.
    """
    own = _own_groups(context)
    for name, base in ((controller, f"{CGROUP}/{controller}"), ("", CGROUP)):
        group = PurePosixPath(own.get(name, "").strip("/"))
        for path in (group, *group.parents):
            yield f"{base}/{path}"


def _quota(context: Context) -> float:
    """The tightest quota, in CPUs; infinite without any.

    The kernel writes QUOTA and PERIOD in microseconds; `max` or `-1` is no quota.
    """
    tightest = float("inf")
    for folder in _folders(context, "cpu"):
        v1 = " ".join(context.maybe(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        quota, period = map(whole_number, (context.maybe(f"{folder}/cpu.max") or v1).partition(" ")[::2])
        if quota is not None and period:
            tightest = min(tightest, quota / period)
    return tightest


def _memory_limits_gib(context: Context) -> Iterator[tuple[str, float]]:
    """Each limit, with its folder. Without a limit v1 writes a number above the machine's memory."""
    for folder in _folders(context, "memory"):
        limit = _number(context, f"{folder}/memory.max", f"{folder}/memory.limit_in_bytes")
        if limit is not None:
            yield folder, limit / GIB


def _number(context: Context, v2: str, v1: str) -> int | None:
    """The number of the file that this version of control groups has; None if it has none, such as `max`."""
    text = context.maybe(v2) or context.maybe(v1)
    return whole_number(text)
