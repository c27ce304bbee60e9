"""Which processor cores a rank runs on: on a processor a share of its own, on a GPU those of the GPU's NUMA node.

Only what the process may use already is shared out, so that a container's, a scheduler's or a user's (taskset, numactl)
choice of cores holds.
"""

from __future__ import annotations

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
    """Where a rank runs, by Linux's numbers of CPUs.

    allowed: those it might use before; cpus: those it is bound to; threads: that torch is to compute with, None where
    that is left as it is; why_not: why it is left on all that were allowed, in words; None where it is bound.
    """

    allowed: frozenset[int]
    cpus: frozenset[int]
    threads: int | None = None
    why_not: str | None = None


def bind_rank(device: torch.device, rank: int, ranks: int, pin: bool, threads: int | None) -> Binding:
    """Bind this process, with the threads that it has and will have.

    Args:
        rank, ranks: among the processes on this host. pin: false leaves it where it is.
        threads: that torch is to compute with on a processor; None: one a core of its share.
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
            with suppress(OSError):  # it has ended
                os.sched_setaffinity(int(thread.name), binding.cpus)
    threads = threads or binding.threads
    if device.type == "cpu" and threads is not None:
        torch.set_num_threads(threads)
    return binding


def own_share(allowed: frozenset[int], rank: int, ranks: int, root: Path = ROOT) -> Binding:
    """Of the cores that `ranks` processes may use together, those of one: as many whole cores for each, of one NUMA
    node where they divide so; what is left over stays free.

    Args:
        root: where /sys is.
    """
    cores = _physical_cores(allowed, root)
    each = len(cores) // ranks
    if not each:
        return Binding(allowed, allowed, why_not=f"{ranks} ranks have {len(cores)} cores")
    mine = cores[rank * each : (rank + 1) * each]
    return Binding(allowed, frozenset(cpu for core in mine for cpu in core), threads=each)


def near_gpu(allowed: frozenset[int], bus_id: str | None, root: Path = ROOT) -> Binding:
    """Of the cores that a process may use, those of its GPU's NUMA node.

    Args:
        bus_id: of the GPU on PCI, as /sys has it: `0000:3b:00.0`; None where it is not told. root: where /sys is.
    """

    def left(why_not: str) -> Binding:
        return Binding(allowed, allowed, why_not=why_not)

    if bus_id is None:
        return left("neither torch nor NVML tells where the GPU is on PCI")
    device = root / "sys/bus/pci/devices" / bus_id
    try:
        node, near = int((device / "numa_node").read_text()), cpu_set((device / "local_cpulist").read_text())
    except (OSError, ValueError):
        node, near = -1, set()
    if node < 0:
        return left(f"the kernel does not tell the NUMA node of GPU {bus_id}")
    if not allowed & near:
        return left(f"none of CPUs {ranges(sorted(near))}, those beside GPU {bus_id}, may be used")
    return Binding(allowed, allowed & near)


def read_back(binding: Binding) -> dict[str, Any]:
    """What this process really runs on, for the record."""
    return {
        "cpus": ranges(sorted(os.sched_getaffinity(0))),
        "bound": binding.why_not is None,
        "why_not_bound": binding.why_not,
        "torch_threads": torch.get_num_threads(),
    }


def bus_id_of(device: torch.device) -> str | None:
    """A GPU's place on PCI as /sys has it, by torch or, where that does not tell, by NVML; None where neither does."""
    found: Any = torch.cuda.get_device_properties(device)
    try:
        return _on_pci(found.pci_domain_id, found.pci_bus_id, found.pci_device_id)
    except AttributeError:
        return _by_nvml(f"GPU-{getattr(found, 'uuid', None)}")


def _on_pci(domain: int, bus: int, device: int) -> str:
    return f"{domain:04x}:{bus:02x}:{device:02x}.0"


def _by_nvml(uuid: str) -> str | None:
    with suppress(Exception):  # no such package, driver or GPU: the rank is left where it is
        import pynvml

        pynvml.nvmlInit()
        try:
            found = pynvml.nvmlDeviceGetPciInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        finally:
            pynvml.nvmlShutdown()
        return _on_pci(found.domain, found.bus, found.device)
    return None


def _physical_cores(cpus: Iterable[int], root: Path) -> list[list[int]]:
    """Hardware threads by core, those of one NUMA node together; where the kernel does not tell, each is a core."""
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
