"""Bind a rank to CPU cores: on a CPU its own share of them, with a GPU those of the GPU's NUMA node.

Only cores that the process may already use are divided, so that limits set by a container, a scheduler or a user
(taskset, numactl) hold.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gbench.base.cpu_list import cpu_set, ranges

ROOT = Path("/")


@dataclass(frozen=True)
class Binding:
    """The CPUs that a rank runs on, by Linux's numbers.

    allowed: those it could use before; cpus: those it is bound to; threads: for torch to compute with, None: unchanged;
    why_not: why it is not bound, in words; None: it is bound.
    """

    allowed: frozenset[int]
    cpus: frozenset[int]
    threads: int | None = None
    why_not: str | None = None


def bind_rank(device: torch.device, rank: int, ranks: int, pin: bool, threads: int | None) -> Binding:
    """Bind this process with all its threads, present and future.

    rank, ranks: of the processes on this host. threads: for torch on a CPU; None: one per core of its share.
    """
    allowed = frozenset(os.sched_getaffinity(0))
    if not pin:
        binding = Binding(allowed, allowed, why_not="measure.pin is false")
    elif device.type == "cuda":
        binding = near_gpu(allowed, bus_id_of(device))
    else:
        binding = own_share(allowed, rank, ranks)
    if binding.why_not is None:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # the thread has ended
                os.sched_setaffinity(int(thread.name), binding.cpus)
    threads = threads or binding.threads
    if device.type == "cpu" and threads is not None:
        torch.set_num_threads(threads)
    return binding


def own_share(allowed: frozenset[int], rank: int, ranks: int, root: Path = ROOT) -> Binding:
    """Equally many whole cores for each rank, of one NUMA node where they divide evenly; the rest stays free."""
    cores = _physical_cores(allowed, root)
    each = len(cores) // ranks
    if not each:
        return Binding(allowed, allowed, why_not=f"{ranks} ranks have {len(cores)} cores")
    mine = cores[rank * each : (rank + 1) * each]
    return Binding(allowed, frozenset(cpu for core in mine for cpu in core), threads=each)


def near_gpu(allowed: frozenset[int], bus_id: str | None, root: Path = ROOT) -> Binding:
    """The allowed cores of a GPU's NUMA node. bus_id: on PCI as in /sys, `0000:3b:00.0`; None: unknown."""

    def left(why_not: str) -> Binding:
        return Binding(allowed, allowed, why_not=why_not)

    if bus_id is None:
        return left("neither torch nor NVML reports where the GPU is on PCI")
    device = root / "sys/bus/pci/devices" / bus_id
    try:
        node, near = int((device / "numa_node").read_text()), cpu_set((device / "local_cpulist").read_text())
    except (OSError, ValueError):
        node, near = -1, set()
    if node < 0:
        return left(f"the kernel does not report the NUMA node of GPU {bus_id}")
    if not allowed & near:
        return left(f"none of CPUs {ranges(sorted(near))}, those near GPU {bus_id}, may be used")
    return Binding(allowed, allowed & near)


def read_back(binding: Binding) -> dict[str, Any]:
    """The CPUs and threads that this process really uses, for the record."""
    return {
        "cpus": ranges(sorted(os.sched_getaffinity(0))),
        "bound": binding.why_not is None,
        "why_not_bound": binding.why_not,
        "torch_threads": torch.get_num_threads(),
    }


def bus_id_of(device: torch.device) -> str | None:
    """A GPU's bus id on PCI as in /sys, from torch, else from NVML; None: unknown to both."""
    gpu: Any = torch.cuda.get_device_properties(device)
    try:
        return _on_pci(gpu.pci_domain_id, gpu.pci_bus_id, gpu.pci_device_id)
    except AttributeError:
        return _by_nvml(f"GPU-{getattr(gpu, 'uuid', None)}")


def _on_pci(domain: int, bus: int, device: int) -> str:
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def _by_nvml(uuid: str) -> str | None:
    with suppress(Exception):  # no such package, driver or GPU: the rank is not bound
        from gbench.machine.gpus import open_nvml

        with open_nvml() as nvml:
            found = nvml.nvmlDeviceGetPciInfo(nvml.nvmlDeviceGetHandleByUUID(uuid))
        return _on_pci(found.domain, found.bus, found.device)
    return None


def _physical_cores(cpus: Iterable[int], root: Path) -> list[list[int]]:
    """Hardware threads by core, ordered by NUMA node; each its own core where the kernel doesn't say."""
    nodes: dict[int, int] = {}
    for folder in (root / "sys/devices/system/node").glob("node[0-9]*"):
        with suppress(OSError, ValueError):
            its = cpu_set((folder / "cpulist").read_text())
            nodes |= dict.fromkeys(its, int(folder.name.removeprefix("node")))
    cores: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(cpus):
        first = cpu
        with suppress(OSError, ValueError):
            siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            first = min(cpu_set(siblings.read_text()))
        cores.setdefault((nodes.get(cpu, 0), first), []).append(cpu)
    return [cores[key] for key in sorted(cores)]
